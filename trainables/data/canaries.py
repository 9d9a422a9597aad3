"""Canaries: images with a wrong label, which only a network that memorised them gets "right".

A defence can lower the mean leak and leave the most exposed images as they are; mislabelled ones
stand for those (Aerni, Zhang and Tramer 2024). Members and non-members are mislabelled
alike, so that a wrong label says nothing about membership.
"""

import numpy as np
from numpy.typing import NDArray

from trainables.base.seeding import numpy_generator
from trainables.data.split import Indices, Split


def choose_canaries(split: Split, share: float, seed: int) -> NDArray[np.bool_]:
    """Draw `share` of D and the same number of D', rounded down.

    Returns (|D| + |D'|,) bool, in the order of the audited images: D, then D'.
    """
    generator = numpy_generator(seed, "canaries")
    chosen = []
    for part in (split.members, split.non_members):
        flags = np.zeros(len(part), dtype=bool)
        flags[generator.permutation(len(part))[: int(share * len(part) + 1e-9)]] = True
        chosen.append(flags)
    return np.concatenate(chosen)


def mislabel(
    labels: Indices, split: Split, canary: NDArray[np.bool_], n_classes: int, seed: int
) -> Indices:
    """The labels with each canary's moved to one of the other classes, evenly.

    labels: (n,) in [0, n_classes).  canary: (|D| + |D'|,).  Returns (n,), a copy.
    """
    audited = np.concatenate([split.members, split.non_members])[canary]
    moves = numpy_generator(seed, "canary-labels").integers(1, n_classes, size=len(audited))
    changed = labels.copy()
    changed[audited] = (labels[audited] + moves) % n_classes
    return changed
