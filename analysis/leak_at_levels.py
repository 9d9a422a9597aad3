"""What each defence of a comparison leaks at each level of lost accuracy, in pairs with the others.

The models of all defences are of the same halves of the same images, and so are the dense ones.  So
the difference of two defences is taken model by model and image by image, and what the images, the
halves and the dense trainings have in common cancels.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import statistics
from analysis.front import at_level
from analysis.load import RunRecord
from analysis.run_kind import defense_of
from analysis.statistics import Interval, difference
from analysis.statistics.crossed_models import CrossedModels
from trainables.defenses.registry import named
from trainables.outcome.objective import levels_of

PRUNING, NONE = "pruning", "none"
"""What every other defence is compared with, where the comparison has it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Least:
    """The candidate of one defence that wins at one level."""

    defense: str
    level: float

    row: pd.Series
    """Of `statistics.confirmed`."""

    models: CrossedModels | None
    """What the cross-audit found about its models; None without one."""

    @property
    def excess(self) -> Interval:
        """Excess gain in nats."""
        return statistics.excess_interval(self.row)

    @property
    def lost(self) -> Interval | None:
        """Accuracy lost on unseen images, in pairs with the dense models; a fraction."""
        drop, low, high = (float(self.row[f"drop{end}"]) for end in ("", "_low", "_high"))
        if math.isnan(drop):
            return None
        return Interval(estimate=drop, low=low, high=high, standard_error=math.nan)

    @property
    def numbers(self) -> dict[str, float]:
        """The defence's numbers, what it really spent in place of what was asked."""
        given: Mapping[str, Any] = self.row["defense_parameters"] or {}
        spent: Mapping[str, Any] = self.row["defense_spent"] or {}
        return {**given, **{name: value for name, value in spent.items() if name != "delta"}}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Excess gain of one candidate less that of another, nats."""

    interval: Interval
    paired: bool
    """Whether it was taken model by model; else from two intervals, which makes it too wide."""

    @property
    def verdict(self) -> int:
        """-1 where the first leaks less, 1 where it leaks more, 0 where that is not known."""
        return int(self.interval.low > 0) - int(self.interval.high < 0)


def gap(one: Least, other: Least) -> Gap:
    """How much more the first leaks than the second."""
    if one.models is not None and other.models is not None and one.models.fits(other.models):
        return Gap(interval=one.models.less_than(other.models), paired=True)
    return Gap(interval=difference(one.excess, other.excess), paired=False)


def least_at(run: RunRecord, level: float) -> Least | None:
    """The winner of a run at a level; None where nothing confirmed keeps it.

    A run without a defence has no level to keep: it stands at all of them.
    """
    bare = named(defense_of(run)).is_bare
    held = run if bare else at_level(run, level)
    best = statistics.confirmed_winner(held.trials, held.config, held.crossed)
    if best is None:
        return None
    return Least(
        defense=defense_of(run),
        level=level,
        row=best,
        models=run.crossed.get(str(best["trial_ids"][0])),
    )


def levels_compared(runs: Sequence[RunRecord]) -> list[float]:
    """The drops in accuracy that any run looked at, least first."""
    defended = [run for run in runs if not named(defense_of(run)).is_bare]
    return sorted({level for run in defended for level in levels_of(run.config["search"])})


def at_levels(runs: Sequence[RunRecord]) -> dict[float, dict[str, Least | None]]:
    """Level -> defence -> its winner there."""
    return {
        level: {defense_of(run): least_at(run, level) for run in runs}
        for level in levels_compared(runs)
    }


def same_dense_models(runs: Sequence[RunRecord]) -> bool:
    """Whether all runs began from the same dense models, as far as they were cross-audited."""
    found = [
        run.crossed.get(str(row["trial_id"]))
        for run in runs
        if (row := statistics.baseline(run.trials)) is not None
    ]
    known = [models for models in found if models is not None]
    return all(
        models.fits(known[0]) and bool((models.terms.term == known[0].terms.term).all())
        for models in known[1:]
    )


def sentence(level_name: str, at: Mapping[str, Least | None]) -> str:
    """Which defence leaks least at a level, and what the intervals allow to say of the others."""
    known = {name: one for name, one in at.items() if one is not None and not named(name).is_bare}
    absent = [name for name, one in at.items() if one is None]
    silent = f"; nothing confirmed within it: {', '.join(absent)}" if absent else ""
    if not known:
        return f"For at most {level_name} of accuracy no defence has a confirmed candidate{silent}."
    best = min(known, key=lambda name: known[name].excess.estimate)
    said = f"For at most {level_name} of accuracy {best} leaks least"
    said += f" ({known[best].excess.estimate:z.4f} nats)"
    groups: dict[int, list[str]] = {0: [], 1: []}
    for name, one in at.items():
        if one is not None and name != best:
            groups[max(gap(one, known[best]).verdict, 0)].append(name)
    more = [f"{', '.join(groups[1])} leak{'s' * (len(groups[1]) == 1)} more"] * bool(groups[1])
    open_ = [f"not distinguishable from it: {', '.join(groups[0])}"] * bool(groups[0])
    return "; ".join([said, *open_, *more]) + silent + "."


def beside(one: Least, reference: Least) -> Gap | None:
    """How a defence stands beside a reference; None for the reference itself."""
    return None if one.defense == reference.defense else gap(one, reference)


VERDICTS = {-1: "less than {0} leak", 0: "not distinguishable from {0}", 1: "more than {0} leak"}
"""A gap's verdict -> what its interval allows to say of the defences that have it."""


def said_beside(reference: str, gaps: Mapping[str, Gap]) -> list[str]:
    """A line for each verdict: which defences leak less than the reference, as much or more.

    gaps: defence -> how it stands beside the reference.
    """
    found = {
        words.format(reference): [name for name, gap in gaps.items() if gap.verdict == verdict]
        for verdict, words in VERDICTS.items()
    }
    return [f"{words}: {', '.join(names)}" for words, names in found.items() if names]
