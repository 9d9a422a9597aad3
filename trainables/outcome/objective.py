"""What a search minimises, and under which constraints, at each allowed drop in accuracy."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from trainables.defenses.registry import named
from trainables.outcome.feasible import accuracy_bound, as_if_bound, state_of
from trainables.records import COMPLETE, FAILED, PRUNED

LEAST_DROP = 0.005
"""The smallest unit of an accuracy violation; an allowed drop of zero would make the unit zero."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a trial is worth to the search."""

    state: str
    """COMPLETE | PRUNED | FAILED."""

    cost: float | None = None
    """What is minimised; only a COMPLETE trial has it."""

    constraints: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Violation column -> its value in units; a value <= 0 is feasible."""


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

    higher: float = 0.0
    """How much higher the least accuracy is than the one that trials were held to; a fraction."""

    def seen(self, trial: Mapping[str, Any]) -> Mapping[str, Any]:
        """A trial's result, or its row, as if it had been held to this goal's least accuracy."""
        return as_if_bound(trial, self.higher)

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
        seen = self.seen(result)
        violations = (seen.get(name) for name in self.units)
        return sum(
            math.nan if violation is None or math.isnan(violation) else max(0.0, violation) / unit
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
        seen = self.seen(result)
        violations = {name: seen.get(name) for name in self.units}
        if not all(map(_is_finite, [*violations.values(), *([] if cost is None else [cost])])):
            return Judgement(state=FAILED)
        scaled = {name: float(violations[name] or 0) / unit for name, unit in self.units.items()}
        if cost is None:
            return Judgement(state=PRUNED, constraints=scaled)
        return Judgement(state=COMPLETE, cost=cost, constraints=scaled)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


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


def levels_of(search: Mapping[str, Any]) -> tuple[float, ...]:
    """The drops in accuracy that a run looks at: that of its bound, then the others, least first.

    search: as for `goal_of`; runs of older releases have no others.

    >>> levels_of({"max_accuracy_drop": 0.01, "levels": [0.0, 0.01, 0.05]})
    (0.01, 0.0, 0.05)
    """
    asked = float(search["max_accuracy_drop"])
    return asked, *sorted({float(level) for level in search.get("levels") or ()} - {asked})


def goals_of(search: Mapping[str, Any], dense_accuracy: float) -> dict[float, Goal]:
    """Level -> what a run looks for there, in the order of `levels_of`.

    dense_accuracy: the dense network's validation accuracy, from which the bounds are counted.
    """
    asked = accuracy_bound(dense_accuracy, search["max_accuracy_drop"])
    return {
        level: dataclasses.replace(
            goal_of({**search, "max_accuracy_drop": level}),
            higher=accuracy_bound(dense_accuracy, level) - asked,
        )
        for level in levels_of(search)
    }
