"""What a tracker is told of a run; a new one is a class like this and its entry in registry.py."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trainables.base.storage import Place

Row = Mapping[str, Any]
"""A row of trials.parquet, or of epochs.parquet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What the parent shows, and what it is found by again."""

    key: str
    """Of this run alone, and the same when it is resumed; letters and digits."""

    name: str
    settings: Mapping[str, str]
    folder: Place


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run was decided."""

    winner: str | None
    """The trial that ships; None where nothing is feasible."""

    verdicts: Mapping[str, str]
    """Trial of a confirmed vector -> whether it keeps the bounds: yes, no or undecided."""

    figures: Mapping[str, float]
    """Of the winner, over all its models."""

    files: Sequence[Place]
    """Of the winner's folder."""


class Tracker(Protocol):
    """One parent run with a child run per vector.

    A child that is told of again replaces what was there. Any method may raise anything, and may
    block: the follower bears it.
    """

    def start(self, run: TrackedRun) -> Mapping[str, str]:
        """Make the parent, or find it again; returns trial id -> state of its whole children."""

    def vector(self, row: Row, epochs: Sequence[Row]) -> None:
        """Make the child of a trial that has ended, with its epochs as curves."""

    def winner(self, outcome: Outcome) -> None:
        """Tag the confirmed children, and put the winner's figures and files into the parent."""

    def close(self, *, finished: bool) -> None:
        """End the parent; one that has not finished may go on."""
