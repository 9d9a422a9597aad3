"""Chooses {n_i}: constrained Bayesian search over per-layer non-zero counts, run by Ray Tune."""
