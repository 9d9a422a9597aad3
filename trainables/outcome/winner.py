"""Which trial is better: the winner, the order of confirmation, and the nearest to the bounds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trainables.outcome.objective import Goal

Row = TypeVar("Row", bound=Mapping[str, Any])


def winner(rows: Sequence[Row], goal: Goal) -> Row | None:
    """The best of feasible rows by what the goal asks, the first of equals; None without rows."""
    return min(rows, key=lambda row: _last(goal.cost(row)), default=None)


def best_first(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Feasible rows of a search in the order of their confirmation; ties go by number."""
    return sorted(rows, key=lambda row: (_last(goal.cost(row)), row["number"]))


def nearest_first(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Rows whose distance from the bounds is known, nearest first; ties go by number."""
    known = [row for row in rows if math.isfinite(goal.distance(row))]
    return sorted(known, key=lambda row: (goal.distance(row), row["number"]))


def _last(cost: float | None) -> float:
    """The cost as a sort key: an unknown cost comes last."""
    return math.inf if cost is None or math.isnan(cost) else cost
