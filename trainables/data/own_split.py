"""The split of a network whose training images are known: its members are given, not drawn.

Attacks need as many non-members as members, class by class, and the models of the other halves of
the pool must train on as many images as the given network did.  So of the members only as many as
non-members can match are attacked; the others are `Split.common`: every model of the run trains on
them, and nobody attacks them.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.seeding import numpy_generator
from trainables.data.split import PARTS, Indices, Split, Units, filled, units_of

NON_MEMBERS_SHARE = 0.4
"""The largest share of a class's images outside the members that become non-members; what is left
is dealt evenly to validation, test and reserve."""

FEWEST_ATTACKED = 50
"""The fewest members that are attacked."""

SPREAD = 0.4
"""About the standard deviation of one image's term in eq. 1, nats: 0.004 is the error on 10,000."""


def checked_parts(given: Mapping[str, object], count: int, what: str) -> dict[str, Indices]:
    """Part -> sorted positions, from whatever a user gave.

    count: images of the data set.  what: names the source in errors.  Raises InvalidInput for an
    unknown part, for positions that are no whole numbers, outside of the data or given twice, and
    where there are no members.
    """
    found: dict[str, Indices] = {}
    owner: dict[int, str] = {}
    for part, values in given.items():
        known(part, PARTS, f"{what} part")
        positions = _whole_numbers(values, part, what)
        for position in positions.tolist():
            if not 0 <= position < count:
                raise InvalidInput(
                    f"{what}: {part} has position {position}, and the data set's are 0 to "
                    f"{count - 1}"
                )
            if position in owner:
                raise InvalidInput(
                    f"{what}: position {position} is in {owner[position]} and in {part}: name "
                    "each once, in one part"
                )
            owner[position] = part
        found[part] = np.sort(positions)
    if not len(found.get("members", ())):
        raise InvalidInput(f"{what}: there are no members: name what was trained on")
    return found


def _whole_numbers(values: object, part: str, what: str) -> Indices:
    positions = np.asarray(values)
    if positions.ndim != 1 or not len(positions) or positions.dtype.kind not in "iu":
        raise InvalidInput(
            f"{what}: {part} must be a list of positions in the data set, whole numbers from 0"
        )
    return positions.astype(np.int64)


def split_of_members(
    labels: Indices, given: Mapping[str, Indices], seed: int, copies: Indices | None = None
) -> Split:
    """The split whose members, and perhaps other parts, are given; the rest is dealt by the seed.

    labels: (n,).  given: part -> positions, as `checked_parts` returns them.
    copies: (n,) position of each image's first copy, where copies are kept together: those of a
    member are in no other part.
    Raises InvalidInput where too few members have non-members to be compared with, or a part would
    be empty.
    """
    units = _Units(copies, numpy_generator(seed, "split"))
    members, others = given["members"], _without_copies_of_members(given, copies)
    outside = np.ones(len(labels), dtype=bool)
    outside[np.concatenate([*given.values()])] = False
    if copies is not None:
        outside &= ~np.isin(copies, copies[members])
    dealt: dict[str, list[int]] = {part: [] for part in (*PARTS, "common")}
    for label in np.unique(labels):
        own = units.of(members[labels[members] == label])
        rest = units.of(np.flatnonzero(outside & (labels == label)))
        if "non_members" in others:
            named = others["non_members"]
            matched = _matched(own, units.of(named[labels[named] == label]), len(named))
        else:
            matched = _matched(own, rest, int(NON_MEMBERS_SHARE * _count(rest)))
            rest = matched.left
        dealt["members"] += matched.members
        dealt["non_members"] += matched.non_members
        dealt["common"] += matched.common
        for part, positions in _evenly(rest, [part for part in PARTS[2:] if part not in given]):
            dealt[part] += positions
    for part in set(PARTS[2:]) & set(others):
        dealt[part] += others[part].tolist()
    _require_enough(dealt, len(members))
    parts = {part: np.sort(np.array(places, np.int64)) for part, places in dealt.items()}
    return Split(**parts, copies=copies)


@dataclasses.dataclass(frozen=True)
class _Units:
    """Draws the order of positions; copies of one image stand together."""

    copies: Indices | None
    generator: np.random.Generator

    def of(self, positions: Indices) -> Units:
        order: Indices = self.generator.permutation(positions).astype(np.int64)
        return order[:, None].tolist() if self.copies is None else units_of(order, self.copies)


@dataclasses.dataclass(frozen=True)
class _Matched:
    """One class: equally many members and non-members, and what is over on either side."""

    members: list[int]
    non_members: list[int]
    common: list[int]
    left: Units


def _matched(members: Units, others: Units, room: int) -> _Matched:
    """As many of both sides as fit whole into `room` and into each other."""
    while True:
        attacked, common = filled(members, room)
        non_members, left = filled(others, len(attacked))
        if len(non_members) == len(attacked):
            return _Matched(attacked, non_members, [one for unit in common for one in unit], left)
        room = len(non_members)


def _without_copies_of_members(
    given: Mapping[str, Indices], copies: Indices | None
) -> dict[str, Indices]:
    """The other parts that are given."""
    others = {part: positions for part, positions in given.items() if part != "members"}
    if copies is None:
        return others
    known_copies = copies[given["members"]]
    return {part: one[~np.isin(copies[one], known_copies)] for part, one in others.items()}


def _count(units: Units) -> int:
    return sum(map(len, units))


def _evenly(units: Units, parts: list[str]) -> Iterator[tuple[str, list[int]]]:
    """`units` dealt to `parts` in turn."""
    for number, part in enumerate(parts):
        room = _count(units) // (len(parts) - number)
        taken, units = filled(units, room)
        yield part, taken


def _require_enough(dealt: Mapping[str, list[int]], members: int) -> None:
    attacked = len(dealt["members"])
    if attacked < FEWEST_ATTACKED:
        width = 1.96 * SPREAD / np.sqrt(2 * max(attacked, 1))
        raise InvalidInput(
            f"{attacked} of {members} members have a non-member of their class to be compared "
            f"with, which allows an interval of about +-{width:.2f} nats: at least "
            f"{FEWEST_ATTACKED} are needed; leave more outside of the members"
        )
    for part in PARTS[2:]:
        if not dealt[part]:
            raise InvalidInput(f"nothing is left for {part}: leave more outside of the members")
