"""The winners of several runs against that of the first: differences with intervals and tests."""

import dataclasses
from collections.abc import Sequence

from scipy import stats

from analysis import side_by_side, tables
from analysis.load import RunRecord, run_name
from analysis.statistics import Interval, difference
from trainables.base import noun


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """What another run's winner leaks, and how accurate it is, less the first's."""

    first: str
    other: str

    excess_gain: Interval
    """Nats; below 0 where the other leaks less."""

    test_accuracy: Interval
    """A fraction; below 0 where the other is less accurate."""

    in_pairs: bool
    """Whether both were measured on the same halves and images, so that they compare in pairs."""


def pairs(runs: Sequence[RunRecord]) -> list[Pair]:
    """One for each run after the first that has a winner; none where the first has none."""
    found = [side_by_side.defended(run, run_name(run, runs)) for run in runs]
    winners = [one for one in found if one is not None and one.feasible]
    if not winners or winners[0] is not found[0]:
        return []
    return [_pair(winners[0], other) for other in winners[1:]]


def _pair(first: side_by_side.Measured, other: side_by_side.Measured) -> Pair:
    ours, theirs = first.models, other.models
    in_pairs = ours is not None and theirs is not None and theirs.fits(ours)
    if ours is not None and theirs is not None and in_pairs:
        leak, accuracy = theirs.less_than(ours), ours.drop_from(theirs, "test")
    else:
        leak = difference(other.excess(), first.excess())
        accuracy = difference(other.share("test_accuracy"), first.share("test_accuracy"))
    return Pair(
        first=first.name,
        other=other.name,
        excess_gain=leak,
        test_accuracy=accuracy,
        in_pairs=in_pairs,
    )


def p_value(interval: Interval) -> float:
    """Two-sided, of a difference that is zero: Student's test behind the interval.

    >>> one = Interval(estimate=1.96, low=0.0, high=3.92, standard_error=1.0)
    >>> round(p_value(one), 3)
    0.05
    """
    if interval.standard_error == 0:
        return 0.0 if interval.estimate else 1.0
    score = abs(interval.estimate) / interval.standard_error
    return float(2 * stats.t.sf(score, interval.degrees_of_freedom))


def table(found: Sequence[Pair]) -> tables.Table:
    """One line for each pair."""
    return tables.Table(
        caption=f"Winners against that of {found[0].first}: 95% intervals, Student's tests, not "
        f"corrected for their number; “in pairs”: on the same halves and {noun.many()}",
        headers=["run", "compared", "excess gain (nats)", "p", "test accuracy (points)", "p"],
        rows=[
            [
                one.other,
                "in pairs" if one.in_pairs else "not in pairs",
                _signed(one.excess_gain, "+.4f", 1),
                f"{p_value(one.excess_gain):.2g}",
                _signed(one.test_accuracy, "+.1f", 100),
                f"{p_value(one.test_accuracy):.2g}",
            ]
            for one in found
        ],
        text_columns=2,
    )


def _signed(interval: Interval, form: str, unit: float) -> str:
    estimate, low, high = (
        format(unit * value, form) for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate}\n{low} to {high}"
