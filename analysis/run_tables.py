"""What each run found, a line each: the overview, its pruners, its attacks."""

import dataclasses
from collections.abc import Sequence

from analysis import statistics, tables
from analysis.load import RunRecord, run_name
from analysis.run_kind import PAPERS_PRUNER, defense_of, pruner_of, system_of, task_of
from analysis.side_by_side import NEAREST, Measured
from analysis.statistics import Interval, difference
from analysis.tables import Table

OVERVIEW = (
    "run",
    "defence",
    "data and network",
    "test accuracy",
    "excess gain, strongest attack (nats)",
    "largest without references (nats)",
    "attack accuracy, balanced",
    "TPR at 1% FPR",
    "compression; spent",
)


def overview(runs: Sequence[RunRecord], measured: Sequence[Measured | None]) -> Table:
    """Every run's headline figures.

    measured: the runs' winners, in the same order.
    """
    return Table(
        caption="All defences; 95% intervals in the second line",
        headers=OVERVIEW,
        rows=[_overview_line(run, one, runs) for run, one in zip(runs, measured, strict=True)],
        text_columns=3,
    )


def _overview_line(run: RunRecord, one: Measured | None, runs: Sequence[RunRecord]) -> list[str]:
    dataset, model = task_of(run)
    notes = [] if one is None else [*([] if one.feasible else [NEAREST]), *one.caveats]
    start = [run_name(run, runs), "\n".join([system_of(run), *notes]), f"{dataset}\n{model}"]
    if one is None:
        return [*start, "nothing confirmed", *[tables.UNKNOWN] * (len(OVERVIEW) - 4)]
    return [
        *start,
        bounded(one.share("test_accuracy"), "percent"),
        bounded(one.excess()),
        bounded(one.family()),
        bounded(one.share("attack_accuracy"), "percent"),
        bounded(one.share("tpr_at_1pct_fpr"), "percent"),
        "\n".join([_compression(one), *spent(one)]),
    ]


def _compression(one: Measured) -> str:
    return tables.compressed(*(one.mean(name) for name in ("compression", "weights", "parameters")))


SPENT = {"epsilon": "epsilon", "distortion": "distortion"}
"""Number -> its name: DP-SGD's guarantee; the mean L1 distance of MemGuard's answers."""


def spent(one: Measured) -> list[str]:
    """The price of a defence in its own unit, in lines; a price that was only asked for says so.

    Early stopping and similar defences have none.
    """
    for number, name in SPENT.items():
        value = one.number(number)
        if value is not None:
            asked = [] if one.spent(number) is not None else ["asked, not recorded"]
            return [f"{name} {value:.3g}", *asked]
    return []


def pruners(runs: Sequence[RunRecord], measured: Sequence[Measured | None]) -> Table | None:
    """Other ways to prune beside ADMM; None where no run has one.

    Each has a search of its own, or takes the counts of a run's winner (`--comparators`).
    measured: the runs' winners, in the same order.
    """
    pairs = [
        (run, one, _same_counts(run, one))
        for run, one in zip(runs, measured, strict=True)
        if one is not None and pruner_of(run) is not None
    ]
    kinds = {
        (task_of(run), defense_of(run))
        for run, _, same in pairs
        if same or pruner_of(run) != PAPERS_PRUNER
    }
    rows: list[list[str]] = []
    for kind in sorted(kinds):
        group = [pair for pair in pairs if (task_of(pair[0]), defense_of(pair[0])) == kind]
        group.sort(key=lambda pair: (pruner_of(pair[0]) != PAPERS_PRUNER, not pair[1].feasible))
        papers = group[0][1] if pruner_of(group[0][0]) == PAPERS_PRUNER else None
        for run, one, same in group:
            rows.append(_pruner_line(f"{pruner_of(run)}\nits own search", one, papers))
            rows += [_pruner_line(way, other, one) for way, other in same]
    if not rows:
        return None
    return Table(
        caption="Ways to prune; 95% intervals in the second line",
        headers=[
            "data and network",
            "defence",
            "pruner",
            "excess gain, strongest attack (nats)",
            "difference",
            "test accuracy",
            "compression",
            "run",
        ],
        rows=rows,
        text_columns=3,
    )


def _same_counts(run: RunRecord, winner: Measured) -> list[tuple[str, Measured]]:
    """(how, measured) for each network that the run made by another pruner at its winner's counts.

    A network with nothing removed is among them.
    """
    rows = statistics.by_other_pruners(run.trials, run.config, run.crossed)
    return [
        (
            f"{row['pruner']}\n{'nothing removed' if row['whole'] else 'the same counts'}",
            dataclasses.replace(
                winner, rows=run.trials[run.trials["trial_id"].isin(row["trial_ids"])]
            ),
        )
        for _, row in rows.iterrows()
        if not row["failed_seeds"]
    ]


def _pruner_line(way: str, one: Measured, beside: Measured | None) -> list[str]:
    """One line of `pruners`; its gain is compared with that of `beside`."""
    dataset, model = task_of(one.run)
    less = tables.UNKNOWN
    if beside is not None and beside is not one:
        less = bounded(difference(one.excess(), beside.excess()))
    return [
        f"{model} on {dataset}",
        defense_of(one.run),
        way + ("" if one.feasible else f"\n{NEAREST}"),
        bounded(one.excess()),
        less,
        bounded(one.share("test_accuracy"), "percent"),
        _compression(one),
        one.name,
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
