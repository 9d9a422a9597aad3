"""Which trials are feasible: the bounds, how far beyond them a trial is, and how a trial ended."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainables.records import COMPLETE, FAILED, PRUNED

ROUNDING = 1e-9
"""The shortfall that counts as rounding: floating point must not decide what is feasible."""

VIOLATIONS = ("accuracy_violation", "compression_violation")
"""The columns that say how far a trial is beyond each bound; null without that bound."""


def violation(bound: float, value: float) -> float:
    """How far `value` is below `bound`; a trial is feasible when no violation is positive.

    >>> 2503 / 5000 - 0.01 > 2453 / 5000, violation(2503 / 5000 - 0.01, 2453 / 5000)
    (True, 0.0)
    """
    missing = bound - value
    return 0.0 if 0 < missing <= ROUNDING else missing


def reaches(bound: float, value: float) -> bool:
    """Whether `value` is not below `bound`; False when either is not a number."""
    return violation(bound, value) <= 0


def accuracy_bound(dense: float, max_drop: float) -> float:
    """The least validation accuracy of a feasible trial when the dense network has `dense`.

    >>> accuracy_bound(0.93, 1.0)
    0.0
    """
    return max(0.0, dense - max_drop)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a trial must reach to be feasible."""

    accuracy: float
    """The least validation accuracy that is feasible."""

    compression: float | None = None
    """The least compression that is feasible; None sets no bound."""

    def violations(self, val_accuracy: float | None, compression: float) -> dict[str, float | None]:
        """Each column of VIOLATIONS; None without a bound or while the accuracy is unknown."""
        return {
            "accuracy_violation": (
                None if val_accuracy is None else violation(self.accuracy, val_accuracy)
            ),
            "compression_violation": (
                None if self.compression is None else violation(self.compression, compression)
            ),
        }

    def are_kept(self, val_accuracy: float, compression: float) -> bool:
        """Whether a network with these figures meets both bounds."""
        return keeps_bounds(self.violations(val_accuracy, compression))


YES, NO, UNDECIDED = "yes", "no", "undecided"
"""What an interval says of a bound: it lies within it, beyond it, or holds it."""


def judged(low: float, high: float, most: float) -> str:
    """Whether a quantity with the interval [low, high] is at most `most`.

    A quantity that misses its bound by less than its error is undecided, and neither kept nor
    thrown away silently.

    >>> judged(-0.002, 0.008, 0.01), judged(0.004, 0.016, 0.01), judged(0.02, 0.03, 0.01)
    ('yes', 'undecided', 'no')
    """
    if high <= most:
        return YES
    return NO if low > most else UNDECIDED


def keeps_bounds(trial: Mapping[str, Any]) -> bool:
    """Whether a trial's result, or its row, meets every bound that it was held to.

    >>> keeps_bounds({"accuracy_violation": -0.01, "compression_violation": None})
    True
    """
    bounds = [trial.get(name) for name in VIOLATIONS]
    return all(bound is None or bound <= 0 for bound in bounds)


def broken_bounds(trial: Mapping[str, Any]) -> list[str]:
    """The bounds that a trial is known to miss; none when its figures are unknown.

    >>> broken_bounds({"accuracy_violation": 0.02, "compression_violation": float("nan")})
    ['accuracy']
    """
    missed = [name for name in VIOLATIONS if (trial.get(name) or 0.0) > 0]
    return [name.removesuffix("_violation") for name in missed]


def as_if_bound(trial: Mapping[str, Any], higher: float) -> Mapping[str, Any]:
    """A trial's result, or its row, as if its accuracy bound had been higher by so much.

    >>> as_if_bound({"accuracy_violation": 0.25}, -0.5)
    {'accuracy_violation': -0.25}
    """
    missed = trial.get("accuracy_violation")
    if not higher or missed is None:
        return trial
    found = {**trial, "accuracy_violation": violation(missed + higher, 0.0)}
    if "feasible" in trial:  # a row
        found["feasible"] = trial["state"] == COMPLETE and not broken_bounds(found)
    return found


def is_hopeless(val_accuracy: float | None, bound: float, slack: float) -> bool:
    """Whether a trial would miss its accuracy bound even with `slack` more; False if unknown."""
    return val_accuracy is not None and bool(val_accuracy + slack < bound)


def state_of(result: Mapping[str, Any], error: str | None = None) -> str:
    """COMPLETE after the full budget, PRUNED when stopped earlier, FAILED after an error.

    result: the trial's last report.  error: what ended the trial from outside.
    """
    if error or result.get("trial_error"):
        return FAILED
    return COMPLETE if result.get("finished") else PRUNED


def is_feasible(result: Mapping[str, Any], error: str | None = None) -> bool:
    """Whether a trial had its full budget and met every bound."""
    return state_of(result, error) == COMPLETE and keeps_bounds(result)
