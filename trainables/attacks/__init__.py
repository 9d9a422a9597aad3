"""Membership attacks: pure functions of outputs, labels and membership to held-out probabilities.

A score or probability is higher for members, everywhere; everything is float64.
"""

from trainables.attacks.registry import ATTACKS, CONSTANT, Setting

__all__ = ["ATTACKS", "CONSTANT", "Setting"]
