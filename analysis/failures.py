"""Trials that failed, as opposed to those that missed a bound: how many, why and what it means.

A failed trial says nothing about the bounds, so wider bounds do not help.
"""

import dataclasses
import re
from collections import Counter

import pandas as pd

from analysis import statistics
from trainables.records import FAILED

UNKNOWN_CAUSE = "no reason was recorded"

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""Addresses, sizes and process ids, which differ between trials that failed alike."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """How many of some rows of trials.parquet failed or missed a bound, and why."""

    failed: int
    ended: int
    """All rows, whatever their state."""

    missed: int
    """Rows that did not fail and missed a bound."""

    what: str = "trials"
    """What the rows are, in the plural."""

    reason: str
    """The commonest reason, in the words of its first trial; "" where none failed."""

    alike: int
    """Failed trials with this reason; numbers and addresses in it may differ."""

    @property
    def most(self) -> bool:
        """Whether more than half failed: the search says little, whatever else it found."""
        return 2 * self.failed > self.ended

    def title(self) -> str:
        """How many failed.

        >>> Failures(failed=27, ended=40, missed=0, reason="x", alike=25).title()
        '27 of 40 trials failed'
        """
        return f"{self.failed} of {self.ended} {self.what} failed"

    def sentence(self) -> str:
        """How many failed, and the commonest reason; "" where none did."""
        return f"{self.title()}, {self.because()}" if self.failed else ""

    def because(self) -> str:
        """The commonest reason, and how many failed for it."""
        alike = "all" if self.alike == self.failed else str(self.alike)
        which = "with" if self.failed == 1 else f"{alike} of them with"
        return f"{which}: {_ended(self.reason)}"

    def others(self) -> str:
        """How many of the others missed a bound; "" where none did."""
        return f" Of the others, {self.missed} missed a bound." if self.missed else ""


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def of(rows: pd.DataFrame, what: str = "trials") -> Failures:
    """Count the failed among `rows` of trials.parquet, and group their reasons."""
    failed = rows[rows["state"] == FAILED]
    reasons = [str(error or UNKNOWN_CAUSE) for error in failed["error"]]
    kinds = [_VARYING.sub("#", reason) for reason in reasons]
    commonest, alike = Counter(kinds).most_common(1)[0] if kinds else ("", 0)
    rest = rows[rows["state"] != FAILED]
    return Failures(
        failed=len(failed),
        ended=len(rows),
        what=what,
        missed=sum(map(bool, statistics.broken_bounds(rest))),
        reason=reasons[kinds.index(commonest)] if kinds else "",
        alike=alike,
    )


def by_reason(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Reason, in the words of its first trial, -> those that failed so, the commonest first."""
    failed = rows[rows["state"] == FAILED]
    found: dict[str, tuple[str, list[str]]] = {}
    for trial, error in zip(failed["trial_id"], failed["error"], strict=True):
        reason = str(error or UNKNOWN_CAUSE)
        found.setdefault(_VARYING.sub("#", reason), (reason, []))[1].append(str(trial))
    return dict(sorted(found.values(), key=lambda one: -len(one[1])))


def deciding(trials: pd.DataFrame, *, has_winner: bool) -> Failures | None:
    """The failures that decided a run; None where its bounds, or the luck of its seeds, decided it.

    These are the search's where most of its trials failed: a winner then won by default. Otherwise,
    without a winner, they are the confirmation's where most of its trials failed.
    """
    search = of(statistics.search_trials(trials))
    if search.most:
        return search
    confirm = of(trials[trials["kind"] == "confirm"], "confirming trials")
    return confirm if confirm.most and not has_winner else None
