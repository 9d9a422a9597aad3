"""One candidate {n_i} in, one measured record out: ADMM pruning and the attacks that judge it.

Conventions, everywhere in this project: fractions lie in [0, 1], times are seconds, gains are nats,
scores are float64 and a higher score means "more likely a member".
"""
