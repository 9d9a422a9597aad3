"""What is better: the objective, the bounds, who is feasible, and who comes first.

The search, the confirmation and every report ask here, so that none of them has a rule of its own.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

ROUNDING = 1e-9
"""Accuracies and counts are whole numbers divided: floating point must not decide feasibility."""

VIOLATIONS = ("accuracy_violation", "compression_violation")
"""Columns that say how far a trial is beyond each bound; null where nothing is bound."""

LEAST_DROP = 0.005
"""Half a point of accuracy: with a drop of zero allowed, the unit would be zero."""


def violation(bound: float, value: float) -> float:
    """How far `value` is below `bound`; a trial is feasible where it is not positive.

    >>> 2503 / 5000 - 0.01 > 2453 / 5000, violation(2503 / 5000 - 0.01, 2453 / 5000)
    (True, 0.0)
    """
    missing = bound - value
    return 0.0 if 0 < missing <= ROUNDING else missing


def keeps_bounds(trial: Mapping[str, Any]) -> bool:
    """Whether a trial's result, or its row, meets every bound that it was held to.

    >>> keeps_bounds({"accuracy_violation": -0.01, "compression_violation": None})
    True
    """
    bounds = [trial.get(name) for name in VIOLATIONS]
    return all(bound is None or bound <= 0 for bound in bounds)


def constraint_units(max_accuracy_drop: float, min_compression: float | None) -> dict[str, float]:
    """Violation column -> what counts as one unit of it.

    TPE adds violations up, so they need a common scale: accuracy in allowed drops, compression in
    tenths of its bound. A bound that was not asked for is left out.
    """
    units = {"accuracy_violation": max(max_accuracy_drop, LEAST_DROP)}
    if min_compression is not None:
        units["compression_violation"] = min_compression / 10
    return units


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goal:
    """What to look for, and under which constraints."""

    objective: str = "excess_gain"
    """Key of the result: nats, or a fraction."""

    maximised: bool = False
    """Whether more of it is better."""

    units: Mapping[str, float]
    """Violation key of the result (<= 0 is feasible) -> its unit."""

    def cost(self, result: Mapping[str, Any]) -> float | None:
        """What is minimised; None where it was not measured."""
        value = result.get(self.objective)
        return -value if self.maximised and value is not None else value

    def distance(self, result: Mapping[str, Any]) -> float:
        """How far beyond its bounds a result is, in units of them; 0 is feasible, NaN unknown."""
        violations = (result.get(name) for name in self.units)
        return sum(
            max(0.0, violation) / unit if violation is not None else math.nan
            for violation, unit in zip(violations, self.units.values(), strict=True)
        )


def guarantee_is_fixed(defense: str | None, epsilon_is_searched: bool | None) -> bool:
    """Whether every trial gives the same guarantee, so that only accuracy is left to tune.

    epsilon_is_searched: None for a defence without an epsilon.  Of differential privacy's settings
    at one epsilon, the least accurate leaks least.
    """
    return defense == "dp" and epsilon_is_searched is False


def goal_of(search: Mapping[str, Any]) -> Goal:
    """What a run looks for: the least leak, or the best accuracy where privacy is fixed.

    search: the settings of a search as config.json holds them.
    """
    units = constraint_units(search["max_accuracy_drop"], search.get("min_compression"))
    epsilon = (search.get("parameters") or {}).get("epsilon")
    searched = None if epsilon is None else bool(epsilon.get("searched", True))
    if guarantee_is_fixed(search.get("defense"), searched):
        return Goal(objective="val_accuracy", maximised=True, units=units)
    return Goal(units=units)
