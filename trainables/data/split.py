"""The five-way split of a run: disjoint, stratified by class, fixed by a seed."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainables.config import InvalidInput
from trainables.seeding import numpy_generator

Indices = NDArray[np.int64]

PARTS = ("members", "non_members", "validation", "test", "reference")
"""What each image is for; no image is for two things."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """Sorted positions of each part in the data set, int64."""

    members: Indices
    """The target trains on these (D)."""

    non_members: Indices
    """The attacks' other half (D'), as many as members; nothing is trained or tuned on them."""

    validation: Indices
    """Decides what is feasible."""

    test: Indices
    """Reported once, for the baseline and for confirmed vectors."""

    reference: Indices
    """Half for what defences train on, half for what RMIA compares with (data/cohort.py)."""


def five_way_split(labels: Indices, fractions: Mapping[str, float], seed: int) -> Split:
    """Deal the images of each class to the parts.

    labels: (n,).  fractions: part -> share of the images, together at most 1.
    Raises InvalidInput when a part would get no image of some class.
    """
    generator = numpy_generator(seed, "split")
    dealt: dict[str, list[Indices]] = {part: [] for part in PARTS}
    for label in np.unique(labels):
        order = generator.permutation(np.flatnonzero(labels == label)).astype(np.int64)
        sizes = _sizes(len(order), fractions)
        if min(sizes.values()) < 1:
            raise InvalidInput(
                f"class {label} has {len(order)} images, too few to split five ways: use a larger "
                "data set"
            )
        first = 0
        for part, size in sizes.items():
            dealt[part].append(order[first : first + size])
            first += size
    return Split(**{part: np.sort(np.concatenate(parts)) for part, parts in dealt.items()})


def _sizes(count: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers for one class: rounded down, so that members and non-members stay equal."""
    return {part: int(count * fractions[part] + 1e-9) for part in PARTS}


def split_hashes(split: Split) -> dict[str, str]:
    """Part -> SHA-256 of its positions as little-endian int64."""
    return {
        part: hashlib.sha256(getattr(split, part).astype("<i8").tobytes()).hexdigest()
        for part in PARTS
    }
