"""Tables that set defences side by side."""

import dataclasses
from collections.abc import Mapping, Sequence

from analysis import statistics, tables
from analysis.defenses import LEVELS, NOT_CONFIRMED, NOT_SEARCHED, Least, Task, level_name
from analysis.load import RunRecord, run_name
from analysis.run_kind import PAPERS_PRUNER, defense_of, pruner_of, system_of, task_of
from analysis.side_by_side import NEAREST, Measured
from analysis.statistics import Interval, difference
from analysis.tables import Table
from trainables.defenses.registry import DEFENSES, named


def table(task: Task, found: Mapping[str, Sequence[Least]]) -> Table:
    """One line per defence, one column per level."""
    return Table(
        caption=f"{task.title}: least excess gain (nats) when test accuracy may fall by",
        headers=["defence", *map(level_name, LEVELS)],
        rows=[[defense, *map(_cell, lines)] for defense, lines in found.items()],
    )


def _cell(found: Least) -> str:
    """The confirmed value, which the page sets in bold; then its interval, price and source."""
    if not found.was_searched:
        one = found.by_the_way
        aside = [] if one is None else [f"yet {tables.nats(one.excess().estimate)}", *_price(one)]
        return "\n".join([NOT_SEARCHED, *aside])
    lines = [NOT_CONFIRMED]
    if found.confirmed is not None:
        interval = found.confirmed.excess()
        lines = [
            tables.nats(interval.estimate),
            tables.between(interval.low, interval.high),
            *_price(found.confirmed),
        ]
    if found.searched is not None:
        lines.append(f"search {tables.nats(found.searched)}")
    return "\n".join(lines)


def _price(one: Measured) -> list[str]:
    """Test accuracy, its drop from the dense network's with an interval, and the run."""
    lost = one.drop()
    lines = [f"test {tables.percent(one.mean('test_accuracy'))}"]
    if lost is not None:
        low, fall, high = (_points(change) for change in (lost.low, lost.estimate, lost.high))
        lines.append(f"drop {fall} ({low} to {high})")
    return [*lines, one.name, *one.caveats]


def _points(change: float) -> str:
    return f"{100 * change:.1f}".replace("-", "\N{MINUS SIGN}")


def in_words(found: Mapping[str, Sequence[Least]]) -> list[str]:
    """Which defence is best at each level, and where DP-SGD or Min-Max is better than pruning."""
    return [_sentence(index, found) for index in range(len(LEVELS))]


def _sentence(index: int, found: Mapping[str, Sequence[Least]]) -> str:
    at = {defense: lines[index] for defense, lines in found.items()}
    known = _contenders(at)
    start = f"For at most {level_name(LEVELS[index])} of test accuracy"
    left_out = _left_out({name: one for name, one in at.items() if name not in known})
    if not known:
        ran = any(one.was_searched for name, one in at.items() if not named(name).is_bare)
        why = "nothing was confirmed" if ran else "no defence was searched"
        return "; ".join([f"{start}: {why}", *(left_out if ran else [])]) + "."
    gains = {name: one.excess() for name, one in known.items()}
    best = min(gains, key=lambda name: gains[name].estimate)
    tight = "" if at[best].was_searched else ", searched with a tighter bound only"
    text = (
        f"{start}: {best} leaks least ({tables.nats(gains[best].estimate)} nats at "
        f"{tables.percent(known[best].mean('test_accuracy'))}, {known[best].name}{tight})"
    )
    open_ = [
        name
        for name, interval in gains.items()
        if name != best and difference(gains[best], interval).high >= 0
    ]
    text += f", not distinguishable from {', '.join(open_)}" if open_ else ""
    text += ", the only one confirmed" if len(known) == 1 else ""
    rivals = [_rival(name, gains) for name in RIVALS if {name, "pruning"} <= gains.keys()]
    return "; ".join([text, *rivals, *left_out]) + "."


def _contenders(at: Mapping[str, Least]) -> dict[str, Measured]:
    """The defences compared at one level: those searched, and of the rest one that leaks even less.

    A wider search can only improve on the candidate of a tighter one, which therefore may win but
    must not lose. Where no defence was searched at all, none wins.
    """
    if not any(one.was_searched for name, one in at.items() if not named(name).is_bare):
        return {}
    known = {name: one.confirmed for name, one in at.items() if one.confirmed is not None}
    tight = {name: one.by_the_way for name, one in at.items() if one.by_the_way is not None}
    best = min(known | tight, key=lambda n: (known | tight)[n].excess().estimate, default=None)
    return known if best is None else known | {best: (known | tight)[best]}


def _left_out(silent: Mapping[str, Least]) -> list[str]:
    """The defences that are not compared at a level, and why; "none" is listed like any other."""
    groups = {
        NOT_SEARCHED: [name for name, one in silent.items() if not one.was_searched],
        "nothing confirmed within it": [
            name for name, one in silent.items() if one.was_searched and one.confirmed is None
        ],
    }
    return [f"{reason}: {', '.join(names)}" for reason, names in groups.items() if names]


RIVALS = sorted(name for name, defense in DEFENSES.items() if defense.is_rival)
"""The defences that each level compares with pruning, one by one."""


def _rival(name: str, known: Mapping[str, Interval]) -> str:
    """Whether a rival leaks less than pruning."""
    gap = difference(known[name], known["pruning"])
    if gap.high < 0:
        return f"{name} beats pruning"
    return f"pruning beats {name}" if gap.low > 0 else f"{name} and pruning are not distinguishable"


OVERVIEW = (
    "run",
    "defence",
    "data and network",
    "test accuracy",
    "excess gain, strongest attack (nats)",
    "largest of the search-time family (nats)",
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
    rows = statistics.by_other_pruners(run.trials, run.config)
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
