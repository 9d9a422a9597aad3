"""Membership attacks: pure functions of outputs, labels and membership to held-out probabilities.

A score or probability is higher for members, everywhere; everything is float64.
"""
