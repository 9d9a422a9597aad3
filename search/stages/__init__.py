"""A run from top to bottom: dense, search, confirm, compare, export, audit."""
