"""The five-way split of a run: disjoint, stratified by class, fixed by a seed."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.seeding import numpy_generator

Indices = NDArray[np.int64]

Units = list[list[int]]
"""Lists of positions that are dealt together: the copies of one image."""

PARTS = ("members", "non_members", "validation", "test", "reserve")
"""Parts of the split; no image is in two of them."""

STORED = {part: part for part in PARTS} | {"reserve": "reference"}
"""Part -> its name in config.json, where `reserve` has always been called `reference`."""


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

    reserve: Indices
    """One half for defences to train on, one for RMIA to compare with (data/cohort.py)."""

    copies: Indices | None = None
    """(images of the data set,) position of each one's first copy, where copies are kept together;
    None where each image stands for itself."""

    common: Indices = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    """Members that no non-member matches, where the members are given (data/own_split.py): every
    model trains on them, whichever half it has beside them, and nobody attacks them."""

    @property
    def named(self) -> dict[str, Indices]:
        """Stored name of each part -> its positions, `common` only where there are any."""
        parts = {STORED[part]: getattr(self, part) for part in PARTS}
        return parts | ({"common": self.common} if len(self.common) else {})


def five_way_split(
    labels: Indices, fractions: Mapping[str, float], seed: int, copies: Indices | None = None
) -> Split:
    """Deal the images of each class to the parts.

    labels: (n,).  fractions: part -> share of the images, together at most 1.
    copies: (n,) position of each image's first copy; all go to one part, as of the first's class.
    Raises InvalidInput when a part would get no image of some class.
    """
    generator = numpy_generator(seed, "split")
    dealt: dict[str, list[Indices]] = {part: [] for part in PARTS}
    strata = labels if copies is None else labels[copies]
    for label in np.unique(strata):
        order = generator.permutation(np.flatnonzero(strata == label)).astype(np.int64)
        units = order[:, None].tolist() if copies is None else units_of(order, copies)
        parts = _dealt(units, fractions)
        if not all(parts.values()):
            count, different = len(order), f", {len(units)} of them different"
            raise InvalidInput(
                f"class {label} has {count} "
                f"{noun.many()}{different if len(units) < count else ''}, too few to split five "
                "ways: use a larger data set, or a larger --limit"
            )
        for part, positions in parts.items():
            dealt[part].append(np.array(positions, dtype=np.int64))
    return Split(
        **{part: np.sort(np.concatenate(parts)) for part, parts in dealt.items()}, copies=copies
    )


def _dealt(units: Units, fractions: Mapping[str, float]) -> dict[str, list[int]]:
    """Part -> positions. Copies of an image beyond the room of a part are left out.

    So members and non-members are equally many of each class, and `reserve` bears what is lost.
    """
    sizes = _sizes(sum(map(len, units)), fractions)
    while max(map(len, units)) > max(1, room := min(sizes.values())):
        units = [unit[: max(1, room)] for unit in units]
        sizes = _sizes(sum(map(len, units)), fractions)
    dealt = {}
    for part, size in sizes.items():
        taken, units = filled(units, size)
        if units and len(taken) < size:  # what is left has too many copies each
            taken += units.pop(0)[: size - len(taken)]
        dealt[part] = taken
    return dealt


def units_of(order: Indices, copies: NDArray[np.integer]) -> Units:
    """The positions in `order`, those with the same value in `copies` in one list."""
    units: dict[int, list[int]] = {}
    for position in order.tolist():
        units.setdefault(int(copies[position]), []).append(position)
    return list(units.values())


def filled(units: Units, room: int) -> tuple[list[int], Units]:
    """The first of `units` that fit into `room` whole, as one list, and the units left over."""
    taken: list[int] = []
    left: Units = []
    for unit in units:
        if len(taken) + len(unit) <= room:
            taken += unit
        else:
            left.append(unit)
    return taken, left


def _sizes(count: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers for one class: rounded down, so that members and non-members stay equal."""
    return {part: int(count * fractions[part] + 1e-9) for part in PARTS}


def split_hashes(split: Split) -> dict[str, str]:
    """Stored name of each part -> SHA-256 of its positions as little-endian int64.

    Under --limit these are positions among the images that are used (data/limit.py).
    """
    return {
        name: hashlib.sha256(positions.astype("<i8").tobytes()).hexdigest()
        for name, positions in split.named.items()
    }
