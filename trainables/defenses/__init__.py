"""Defences: each a loss, an optimiser or a transform of outputs."""
