"""Weight pruning to per-layer counts {n_i}: projection, ADMM, masks and allocation baselines."""
