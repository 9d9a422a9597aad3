"""What the simulated searches found in numbers: leak at matched accuracy, models, intervals.

A winner that truly loses more accuracy than is allowed would have leaked more had it kept the
bound: its `matched` leak is its own plus what the best known vectors leak more at the bound than at
its loss.  Without a winner the dense network stays.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from tests.benchmarks.best_known import Front
from trainables.base.seeding import numpy_generator

RESAMPLES = 2000
"""Of the seeds, for intervals of medians."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimated:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


def with_matched(frame: pd.DataFrame, fronts: Mapping[str, Front], bound: float) -> pd.DataFrame:
    """The results with a column `matched`, nats.

    fronts: by blackbox.  bound: the accuracy that may be lost, a fraction.
    """
    extra = [
        max(0.0, fronts[name].at(bound) - fronts[name].at(lost)) if found else 0.0
        for name, lost, found in zip(frame["blackbox"], frame["lost"], frame["found"], strict=True)
    ]
    return frame.assign(matched=frame["leak"] + np.array(extra))


def summary(frame: pd.DataFrame, budget: int) -> pd.DataFrame:
    """One row per method, in their order, over the seeds of one blackbox at a budget.

    Columns: `matched` median with `low` and `high`, the quartiles `first` and `third`, the share of
    runs whose winner is truly `feasible`, of those without any winner (`none`), the mean `lost`
    accuracy of winners, and their median `compression`.
    """
    records = []
    chosen = frame[frame["budget"] == budget]
    for method in chosen["method"].drop_duplicates():
        rows = chosen[chosen["method"] == method]
        middle, winners = median(rows["matched"].to_numpy()), rows[rows["found"]]
        records.append(
            {
                "method": method,
                "seeds": len(rows),
                "trials": int(rows["trials"].median()),
                "matched": middle.value,
                "low": middle.low,
                "high": middle.high,
                "first": rows["matched"].quantile(0.25),
                "third": rows["matched"].quantile(0.75),
                "feasible": rows["feasible"].mean(),
                "none": 1 - rows["found"].mean(),
                "lost": winners["lost"].mean(),
                "compression": winners["compression"].median(),
            }
        )
    return pd.DataFrame(records)


def median(values: np.ndarray) -> Estimated:
    """(seeds,) their median, with a bootstrap interval over seeds."""
    drawn = np.median(values[_resamples(len(values))], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimated(value=float(np.median(values)), low=float(low), high=float(high))


def difference(frame: pd.DataFrame, first: str, second: str, budget: int) -> Estimated:
    """Mean matched leak of the first method less the second's, in pairs of seeds; Student's."""
    chosen = frame[frame["budget"] == budget]
    wide = chosen.pivot_table(index="seed", columns="method", values="matched")[[first, second]]
    return mean((wide[first] - wide[second]).dropna().to_numpy())


def mean(values: np.ndarray) -> Estimated:
    """(k,) their mean with Student's interval; of a single one it is infinite."""
    value = float(values.mean())
    if len(values) < 2:
        return Estimated(value=value, low=-math.inf, high=math.inf)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimated(value=value, low=value - reach, high=value + reach)


def models_to_match(frame: pd.DataFrame, method: str, target: tuple[str, int]) -> Estimated:
    """Trained models with which a method's median leak is that of another at its budget.

    target: (method, budget).  Interpolated between budgets; the smallest budget where it is no more
    even there, infinite where no budget is enough.  The interval resamples the seeds of both.
    """
    rival, budget = target
    own = _by_budget(frame, method)
    other = _by_budget(frame, rival)[budget].to_numpy()
    budgets = np.array(own.columns, dtype=float)

    found = own.to_numpy()
    curves = np.median(found[_resamples(len(found))], axis=1)
    targets = np.median(other[_resamples(len(other), "others")], axis=1)
    drawn = [_crossing(budgets, *one) for one in zip(curves, targets, strict=True)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    value = _crossing(budgets, np.median(found, axis=0), float(np.median(other)))
    return Estimated(value=value, low=float(low), high=float(high))


def _by_budget(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """Seeds x budgets of the matched leak."""
    rows = frame[frame["method"] == method]
    return rows.pivot_table(index="seed", columns="budget", values="matched")


def _crossing(budgets: np.ndarray, leaks: np.ndarray, target: float) -> float:
    """Where the best leak so far first is at most the target, on a logarithmic scale of budgets.

    >>> _crossing(np.array([100.0, 400.0]), np.array([0.04, 0.02]), 0.03)
    200.0
    """
    best = np.minimum.accumulate(leaks)
    reached = np.flatnonzero(best <= target)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if at == 0 or best[at] == best[at - 1]:
        return float(budgets[at])
    share = (best[at - 1] - target) / (best[at - 1] - best[at])
    return float(np.exp(np.interp(share, [0, 1], np.log(budgets[at - 1 : at + 1]))).round(6))


def _resamples(count: int, purpose: str = "own") -> np.ndarray:
    """(RESAMPLES, count) positions, the same at each call."""
    return numpy_generator(0, f"bootstrap-{purpose}").integers(count, size=(RESAMPLES, count))
