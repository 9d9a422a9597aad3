"""The least leak of each defence at equal loss of accuracy."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import statistics
from analysis.figures import Front
from analysis.load import RunRecord, run_name
from analysis.run_kind import defense_of, pruner_of, system_of, task_of
from analysis.side_by_side import Measured
from trainables.defenses.registry import named
from trainables.outcome.feasible import reaches
from trainables.outcome.objective import levels_of

LEVELS = (0.005, 0.01, 0.02, 0.05, 0.10)
"""How far the mean test accuracy may lie below that of the run's dense network."""


NOT_SEARCHED, NOT_CONFIRMED = "not searched", "not confirmed"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Least:
    """The least excess gain of one defence at one level, nats."""

    has_run: bool
    """Whether a run of the defence was allowed to lose as much as the level."""

    search_value: float | None = None
    """The least excess gain of a single trial under the search's attacks, at matched validation
    accuracy: a search sees no test images, and its best trial is flattered. Where the trials of
    some runs were attacked with references, only those count."""

    confirmed: Measured | None = None
    """The candidate that leaks least over fresh seeds, under the strongest attack. Runs with
    a tighter bound count too, here and above, so that more allowance never looks worse."""

    by_the_way: Measured | None = None
    """What runs with a tighter bound confirmed within the level, where no run was allowed it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """All runs on one data set and network."""

    dataset: str
    model: str
    runs: Sequence[RunRecord]

    @property
    def title(self) -> str:
        """The task in words, for headings."""
        return f"{self.model} on {self.dataset}"

    @property
    def defenses(self) -> list[str]:
        """The defences in the order of their runs; each pruner other than ADMM counts as one."""
        return list(dict.fromkeys(system_of(run) for run in self.runs))

    def of(self, defense: str) -> list[RunRecord]:
        """The runs of one defence."""
        return [run for run in self.runs if system_of(run) == defense]


def tasks(runs: Sequence[RunRecord]) -> list[Task]:
    """The runs by data set and network, in the order given."""
    return [
        Task(dataset=task[0], model=task[1], runs=[run for run in runs if task_of(run) == task])
        for task in dict.fromkeys(map(task_of, runs))
    ]


def candidates(run: RunRecord, runs: Sequence[RunRecord]) -> list[Measured]:
    """Every confirmed candidate without a failed seed, feasible or not.

    runs: those on the page, among which their names are unique.
    """
    rows = statistics.confirmed(run.trials, run.config, run.crossed)
    return [
        Measured(
            run=run,
            name=run_name(run, runs),
            defense=system_of(run),
            confirmed=True,
            feasible=bool(feasible),
            rows=run.trials[run.trials["trial_id"].isin(ids)],
        )
        for ids, failed, feasible in zip(
            rows["trial_ids"], rows["failed_seeds"], rows["feasible"], strict=True
        )
        if not failed
    ]


def complete_trials(run: RunRecord) -> pd.DataFrame:
    """Complete searched trials; their excess gain is that of the search-time attacks."""
    rows = statistics.search_trials(run.trials)
    return rows[rows["state"] == "COMPLETE"]


def allowed_drop(run: RunRecord) -> float:
    """How much accuracy the run could lose, at most; infinite where it had nothing to choose."""
    search = run.config["search"]
    numbers = search.get("parameters")
    chosen = [
        number
        for number in (numbers.values() if isinstance(numbers, Mapping) else [])
        if not isinstance(number, Mapping) or number.get("searched", True)
    ]
    is_bare = named(defense_of(run)).is_bare
    if pruner_of(run) is None and not chosen and (numbers is not None or is_bare):
        return math.inf
    return max(levels_of(search))


def least(runs: Sequence[RunRecord], drop: float, page: Sequence[RunRecord] | None = None) -> Least:
    """The least excess gain of runs of one defence that lose at most `drop` of test accuracy.

    page: the runs among which their names are unique; `runs` where it is not given.
    """
    wide = [run for run in runs if reaches(drop, allowed_drop(run))]
    found = _least_leaking(runs, drop, runs if page is None else page)
    if not wide:
        return Least(has_run=False, by_the_way=found)
    seen: list[float] = []
    informed = [run for run in runs if statistics.search_has_references(run.trials)]
    for run in informed or runs:
        search = {**run.config["search"], "max_accuracy_drop": drop}
        bound = statistics.accuracy_bound(run.trials, {**run.config, "search": search})
        seen += [
            float(row["excess_gain"])
            for _, row in complete_trials(run).iterrows()
            if reaches(bound, float(row["val_accuracy"]))
        ]
    return Least(has_run=True, search_value=min(seen, default=None), confirmed=found)


def _least_leaking(
    runs: Sequence[RunRecord], drop: float, page: Sequence[RunRecord]
) -> Measured | None:
    near = [
        candidate
        for run in runs
        for candidate in candidates(run, page)
        if (lost := candidate.drop()) is not None and reaches(lost.estimate, drop)
    ]
    return min(near, key=lambda one: one.excess().estimate, default=None)


def front(runs: Sequence[RunRecord]) -> Front:
    """The trials of runs of one defence, for the picture."""
    return Front(
        trials=pd.concat(
            [complete_trials(run)[["val_accuracy", "excess_gain"]].astype(float) for run in runs]
        ),
        confirmed=[
            (candidate.mean("val_accuracy"), candidate.excess())
            for run in runs
            for candidate in candidates(run, runs)
        ],
    )


def at_levels(task: Task, page: Sequence[RunRecord] | None = None) -> dict[str, list[Least]]:
    """Defence -> its least gain at each of LEVELS; `page` as in `least`."""
    named = task.runs if page is None else page
    return {
        defense: [least(task.of(defense), level, named) for level in LEVELS]
        for defense in task.defenses
    }
