"""Defences at matched accuracy: the least leak that each reaches when it may cost so much."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import statistics, tables
from analysis.evidence import Measured, defense_of, task_of
from analysis.figures import Front
from analysis.load import Run, run_name
from analysis.statistics import Interval, difference
from analysis.tables import Table
from trainables.records import ROUNDING

LEVELS = (0.005, 0.01, 0.02, 0.05, 0.10)
"""How far the validation accuracy may lie below the dense network's."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Least:
    """The least excess gain of one defence at one level, nats."""

    searched: float | None
    """Of one trial under the search-time attacks: flattered, and a weaker attack."""

    confirmed: Interval | None
    """Over fresh seeds, under the strongest attack."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """All runs on one data set and network."""

    dataset: str
    model: str
    runs: Sequence[Run]

    @property
    def title(self) -> str:
        """For headings."""
        return f"{self.model} on {self.dataset}"

    @property
    def defenses(self) -> list[str]:
        """In the order in which their runs were given."""
        return list(dict.fromkeys(defense_of(run) for run in self.runs))

    def of(self, defense: str) -> list[Run]:
        """The runs of one defence."""
        return [run for run in self.runs if defense_of(run) == defense]


def tasks(runs: Sequence[Run]) -> list[Task]:
    """The runs by data set and network, in the order given."""
    return [
        Task(dataset=task[0], model=task[1], runs=[run for run in runs if task_of(run) == task])
        for task in dict.fromkeys(map(task_of, runs))
    ]


def candidates(run: Run) -> list[Measured]:
    """Every confirmed candidate without a failed seed, feasible or not."""
    rows = statistics.confirmed(run.trials, run.config)
    return [
        Measured(
            run=run,
            name=run_name(run, [run]),
            defense=defense_of(run),
            confirmed=True,
            rows=run.trials[run.trials["trial_id"].isin(ids)],
        )
        for ids, failed in zip(rows["trial_ids"], rows["failed_seeds"], strict=True)
        if not failed
    ]


def searched(run: Run) -> pd.DataFrame:
    """Complete searched trials; their excess gain is that of the search-time attacks."""
    rows = statistics.searched(run.trials)
    return rows[rows["state"] == "COMPLETE"]


def least(runs: Sequence[Run], drop: float) -> Least:
    """The least excess gain of runs of one defence that lose at most `drop` of accuracy."""
    seen: list[float] = []
    confirmed: list[Interval] = []
    for run in runs:
        dense = statistics.baseline(run.trials)
        if dense is None:
            continue
        bound = float(dense["val_accuracy"]) - drop - ROUNDING
        rows = searched(run)
        near = rows[rows["val_accuracy"].astype(float) >= bound]
        seen += near["excess_gain"].astype(float).tolist()
        confirmed += [
            candidate.excess()
            for candidate in candidates(run)
            if candidate.mean("val_accuracy") >= bound
        ]
    return Least(
        searched=min(seen, default=None),
        confirmed=min(confirmed, key=lambda one: one.estimate, default=None),
    )


def front(runs: Sequence[Run]) -> Front:
    """The trials of runs of one defence, for the picture."""
    return Front(
        searched=pd.concat(
            [searched(run)[["val_accuracy", "excess_gain"]].astype(float) for run in runs]
        ),
        confirmed=[
            (candidate.mean("val_accuracy"), candidate.excess())
            for run in runs
            for candidate in candidates(run)
        ],
    )


def at_levels(task: Task) -> dict[str, list[Least]]:
    """Defence -> its least gain at each of LEVELS."""
    return {
        defense: [least(task.of(defense), level) for level in LEVELS] for defense in task.defenses
    }


def level_name(level: float) -> str:
    """A level in words.

    >>> level_name(0.005), level_name(0.01)
    ('0.5 points', '1 point')
    """
    return f"{100 * level:g} point{'s' * (level != 0.01)}"


def table(task: Task, found: Mapping[str, Sequence[Least]]) -> Table:
    """One line per defence, one column per level."""
    return Table(
        caption=f"{task.title}: least excess gain (nats) when validation accuracy may fall by",
        headers=["defence", *map(level_name, LEVELS)],
        rows=[[defense, *map(_cell, lines)] for defense, lines in found.items()],
    )


def _cell(found: Least) -> str:
    """Confirmed value first, which the page sets in bold; then its interval and the search's."""
    lines = ["not confirmed"]
    if found.confirmed is not None:
        interval = found.confirmed
        lines = [
            f"{tables.nats(interval.estimate)}",
            tables.between(interval.low, interval.high),
        ]
    if found.searched is not None:
        lines.append(f"search {tables.nats(found.searched)}")
    return "\n".join(lines) if len(lines) > 1 else tables.UNKNOWN


def in_words(found: Mapping[str, Sequence[Least]]) -> list[str]:
    """Who is best at each level, and where DP-SGD or Min-Max is better than pruning."""
    return [_sentence(index, found) for index in range(len(LEVELS))]


def _sentence(index: int, found: Mapping[str, Sequence[Least]]) -> str:
    known = {
        defense: interval
        for defense, lines in found.items()
        if (interval := lines[index].confirmed) is not None
    }
    start = f"For at most {level_name(LEVELS[index])}"
    if not known:
        return f"{start}: nothing was confirmed."
    best = min(known, key=lambda name: known[name].estimate)
    text = f"{start}: {best} leaks least ({tables.nats(known[best].estimate)} nats)"
    open_ = [
        name
        for name, interval in known.items()
        if name != best and difference(known[best], interval).high >= 0
    ]
    text += f", not told apart from {', '.join(open_)}" if open_ else ""
    text += ", the only one confirmed" if len(known) == 1 else ""
    rivals = [_rival(name, known) for name in ("dp", "minmax") if name in known]
    rivals = rivals if "pruning" in known else []
    return "; ".join([text, *rivals]) + "."


def _rival(name: str, known: Mapping[str, Interval]) -> str:
    """Whether DP-SGD or Min-Max leaks less than pruning."""
    gap = difference(known[name], known["pruning"])
    if gap.high < 0:
        return f"{name} beats pruning"
    return f"pruning beats {name}" if gap.low > 0 else f"{name} and pruning are not told apart"


def overview(runs: Sequence[Run], measured: Sequence[Measured | None]) -> Table:
    """Every run's headline figures; `measured` are their winners, in the same order."""
    headers = [
        "run",
        "defence",
        "data and network",
        "test accuracy",
        "excess gain, strongest attack (nats)",
        "search-time family (nats)",
        "attack accuracy, balanced",
        "TPR at 1% FPR",
        "compression",
        "epsilon",
    ]
    return Table(
        caption="All defences; 95% intervals in the second line",
        headers=headers,
        rows=[_overview_line(run, one, runs) for run, one in zip(runs, measured, strict=True)],
        text_columns=3,
    )


def _overview_line(run: Run, one: Measured | None, runs: Sequence[Run]) -> list[str]:
    dataset, model = task_of(run)
    missed = "\nmisses its bound" if one is not None and not one.feasible else ""
    start = [run_name(run, runs), f"{defense_of(run)}{missed}", f"{dataset}\n{model}"]
    if one is None:
        return [*start, "nothing confirmed", *[tables.UNKNOWN] * 6]
    epsilon = one.number("epsilon")
    return [
        *start,
        bounded(one.share("test_accuracy"), "percent"),
        bounded(one.excess()),
        bounded(one.family()),
        bounded(one.share("attack_accuracy"), "percent"),
        bounded(one.share("tpr_at_1pct_fpr"), "percent"),
        tables.times(one.mean("compression")),
        tables.UNKNOWN if epsilon is None else f"{epsilon:.3g}",
    ]


def every_attack(measured: Sequence[Measured]) -> Table:
    """Excess gain of each attack on each run's winner, one line per attack."""
    names = list(dict.fromkeys(name for one in measured for name in one.attacks()))
    rows = []
    for name in names:
        intervals = [one.attack(name) for one in measured]
        rows.append([name, *(tables.UNKNOWN if i is None else bounded(i) for i in intervals)])
    return Table(
        caption="Excess gain (nats) of every attack; 95% intervals in the second line",
        headers=["attack", *(f"{one.name}: {one.defense}" for one in measured)],
        rows=rows,
    )


def bounded(interval: Interval, kind: str = "nats") -> str:
    """An estimate; its interval in the second line."""
    show = tables.percent if kind == "percent" else tables.nats
    return f"{show(interval.estimate)}\n{tables.between(interval.low, interval.high, kind)}"
