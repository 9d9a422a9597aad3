"""Which trial is better: the winner, the order of confirmation, and the nearest to the bounds."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from trainables.outcome.feasible import YES
from trainables.outcome.objective import Goal

Row = TypeVar("Row", bound=Mapping[str, Any])


def winner(
    rows: Sequence[Row], goal: Goal, alike: Callable[[Row, Row], bool] | None = None
) -> Row | None:
    """The winner of feasible rows; None without rows.

    Rows that surely keep their bounds (`kept` is yes) go before those of which that is undecided.
    Among them it is the best by what the goal asks, and among those that leak like it, the smallest
    network.  alike: whether two rows' leaks are not distinguishable; None where that is unknown.
    """
    sure = [row for row in rows if row.get("kept") == YES] or rows
    best = min(sure, key=lambda row: _last(goal.cost(row)), default=None)
    if best is None or alike is None or goal.maximised:
        return best
    equals = [row for row in sure if row is best or alike(row, best)]
    return min(equals, key=lambda row: (row["nonzero"], _last(goal.cost(row))))


def best_first(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Feasible rows of a search in the order of their confirmation; ties go by number."""
    return sorted(rows, key=lambda row: (_last(goal.cost(row)), row["number"]))


def raced_first(rows: Sequence[Row], max_drop: float) -> list[Row]:
    """Rows of a race in the order of their confirmation.

    Sure ones and bold ones take turns, the least `excess_gain` of each first.  Sure ones lose so
    little accuracy (`lost`, a fraction, with `lost_se`) that more models will likely say that they
    keep the bound: with four times the models the standard error is about half, so that one
    standard error of the race is two of the confirmation.  Bold ones keep it by their mean alone:
    the least leak lies close to the bound.  The others come last, the least lost of them leading.
    """
    ranked = sorted(rows, key=lambda row: row["excess_gain"])
    sure = [row for row in ranked if row["lost"] + row["lost_se"] <= max_drop]
    bold = [row for row in ranked if row["lost"] <= max_drop < row["lost"] + row["lost_se"]]
    turns = itertools.zip_longest(sure, bold)
    within = [row for turn in turns for row in turn if row is not None]
    beyond = [row for row in rows if row["lost"] > max_drop]
    return [*within, *sorted(beyond, key=lambda row: row["lost"])]


def nearest_first(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Rows whose distance from the bounds is known, nearest first; ties go by number."""
    known = [row for row in rows if math.isfinite(goal.distance(row))]
    return sorted(known, key=lambda row: (goal.distance(row), row["number"]))


def _last(cost: float | None) -> float:
    """The cost as a sort key: an unknown cost comes last."""
    return math.inf if cost is None or math.isnan(cost) else cost
