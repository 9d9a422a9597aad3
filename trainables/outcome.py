"""What counts as better: the objective, the bounds, which trials are feasible, and their order.

The search, its stopper, the confirmation, the live view and every report ask this module, so that
none of them has a rule of its own.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trainables.defenses.registry import named
from trainables.records import COMPLETE, FAILED, PRUNED

Row = TypeVar("Row", bound=Mapping[str, Any])

ROUNDING = 1e-9
"""The shortfall that counts as rounding: floating point must not decide what is feasible."""

VIOLATIONS = ("accuracy_violation", "compression_violation")
"""The columns that say how far a trial is beyond each bound; null without that bound."""

LEAST_DROP = 0.005
"""The smallest unit of an accuracy violation; an allowed drop of zero would make the unit zero."""


# --- bounds ---------------------------------------------------------------------------------------


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


def keeps_bounds(trial: Mapping[str, Any]) -> bool:
    """Whether a trial's result, or its row, meets every bound that it was held to.

    >>> keeps_bounds({"accuracy_violation": -0.01, "compression_violation": None})
    True
    """
    bounds = [trial.get(name) for name in VIOLATIONS]
    return all(bound is None or bound <= 0 for bound in bounds)


def broken_bounds(trial: Mapping[str, Any]) -> list[str]:
    """The bounds that a trial is known to miss; none when its figures are unknown.

    >>> broken_bounds({"accuracy_violation": 0.02, "compression_violation": math.nan})
    ['accuracy']
    """
    missed = [name for name in VIOLATIONS if (trial.get(name) or 0.0) > 0]
    return [name.removesuffix("_violation") for name in missed]


def is_hopeless(val_accuracy: float | None, bound: float, slack: float) -> bool:
    """Whether a trial would miss its accuracy bound even with `slack` more; False if unknown."""
    return val_accuracy is not None and bool(val_accuracy + slack < bound)


# --- how a trial ended ----------------------------------------------------------------------------


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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a trial is worth to the search."""

    state: str
    """COMPLETE | PRUNED | FAILED."""

    cost: float | None = None
    """What is minimised; only a COMPLETE trial has it."""

    constraints: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Violation column -> its value in units; a value <= 0 is feasible."""


# --- what is looked for ---------------------------------------------------------------------------


def constraint_units(max_accuracy_drop: float, min_compression: float | None) -> dict[str, float]:
    """Violation column -> what counts as one unit of it.

    TPE adds violations up, so they need a common scale: accuracy is counted in allowed drops, and
    compression in tenths of its bound. A bound that was not asked for is left out.
    """
    units = {"accuracy_violation": max(max_accuracy_drop, LEAST_DROP)}
    if min_compression is not None:
        units["compression_violation"] = min_compression / 10
    return units


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goal:
    """What a search looks for, and under which constraints."""

    objective: str = "excess_gain"
    """The key of the result that is optimised, in nats or as a fraction."""

    maximised: bool = False
    """Whether a larger objective is better."""

    units: Mapping[str, float]
    """Violation key of the result (<= 0 is feasible) -> its unit."""

    def cost(self, result: Mapping[str, Any]) -> float | None:
        """What is minimised; None when it was not measured."""
        value = result.get(self.objective)
        return -value if self.maximised and value is not None else value

    def in_words(self, result: Mapping[str, Any]) -> str:
        """The objective's name and its value in a result, if it has one.

        >>> Goal(units={}).in_words({"excess_gain": 0.01234}), Goal(units={}).in_words({})
        ('excess gain 0.0123 nats', 'excess gain none yet')
        """
        name, unit = ("validation accuracy", "") if self.maximised else ("excess gain", " nats")
        value = result.get(self.objective)
        return f"{name} none yet" if value is None else f"{name} {value:.4f}{unit}"

    def distance(self, result: Mapping[str, Any]) -> float:
        """How far beyond its bounds a result is, in their units; 0 is feasible, NaN unknown."""
        violations = (result.get(name) for name in self.units)
        return sum(
            max(0.0, violation) / unit if violation is not None else math.nan
            for violation, unit in zip(violations, self.units.values(), strict=True)
        )

    def judge(self, result: Mapping[str, Any] | None) -> Judgement:
        """What the search learns from a trial's last report; FAILED when a number is missing.

        A stopped trial keeps its constraints but loses its objective: it has memorised less, so
        its gain would flatter it.
        """
        state = state_of(result) if result else FAILED
        if not result or state == FAILED:
            return Judgement(state=FAILED)
        cost = self.cost(result) if state == COMPLETE else None
        violations = {name: result.get(name) for name in self.units}
        if not all(map(_is_finite, [*violations.values(), *([] if cost is None else [cost])])):
            return Judgement(state=FAILED)
        scaled = {name: float(violations[name] or 0) / unit for name, unit in self.units.items()}
        if cost is None:
            return Judgement(state=PRUNED, constraints=scaled)
        return Judgement(state=COMPLETE, cost=cost, constraints=scaled)

    def best(self, rows: Sequence[Row]) -> Row | None:
        """The winner among feasible rows, the first of equals; None when there are no rows."""
        return min(rows, key=lambda row: _last(self.cost(row)), default=None)

    def best_first(self, rows: Sequence[Row]) -> list[Row]:
        """Feasible rows of a search in the order of their confirmation; ties go by number."""
        return sorted(rows, key=lambda row: (_last(self.cost(row)), row["number"]))

    def nearest_first(self, rows: Sequence[Row]) -> list[Row]:
        """Rows whose distance from the bounds is known, nearest first; ties go by number."""
        known = [row for row in rows if math.isfinite(self.distance(row))]
        return sorted(known, key=lambda row: (self.distance(row), row["number"]))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _last(cost: float | None) -> float:
    """The cost as a sort key: an unknown cost comes last."""
    return math.inf if cost is None or math.isnan(cost) else cost


LEAST_LEAK = Goal(units={})
"""The goal of most runs, for callers that judge the bounds elsewhere."""


def goal_of(search: Mapping[str, Any]) -> Goal:
    """What a run looks for: the least leak, or the best accuracy where privacy is fixed.

    search: the settings of a search as config.json holds them.  Among settings of differential
    privacy with the same epsilon, the least accurate leaks least: when every trial gives the same
    guarantee, only accuracy is left to tune.
    """
    units = constraint_units(search["max_accuracy_drop"], search.get("min_compression"))
    number = (search.get("parameters") or {}).get(named(search.get("defense")).guarantee)
    if number is not None and not number.get("searched", True):
        return Goal(objective="val_accuracy", maximised=True, units=units)
    return Goal(units=units)
