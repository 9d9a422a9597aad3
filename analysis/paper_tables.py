"""Tables 1 to 6 of the paper with our figures in its rows and columns."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from analysis import paper_commands, tables
from analysis.load import RunRecord
from analysis.run_kind import system_of, task_of
from analysis.side_by_side import NEAREST, Measured, measured_as
from analysis.statistics import Interval, difference
from analysis.tables import Table
from trainables import paper as paper_data
from trainables.paper import AccuracyTable, Row

SHORT = {
    "none": "baseline",
    "pruning": "pruning",
    "minmax": "Min-Max",
    "pruning+minmax": "both",
    "dp": "DP",
}
"""Defence -> its short name in small print."""

HOLDS, REVERSED, UNDECIDED, UNKNOWN = "holds", "reversed", "undecided", tables.UNKNOWN

_MARKS = {HOLDS: "\N{CHECK MARK}", REVERSED: "\N{BALLOT X}", UNDECIDED: "?"}

_COLUMNS = {"train": "train_accuracy", "test": "test_accuracy", "attack": "attack_accuracy"}
_ORDERS = {
    "attack": "the paper's order of attack accuracy",
    "gain": "that order by our excess gain",
    "test": "the paper's order of test accuracy",
}
_TITLES = {"train": "training accuracy", "test": "test accuracy", "attack": "attack accuracy"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """One table, what its figures come from, and the commands for what is missing."""

    number: int
    title: str
    table: Table
    sources: Sequence[str]
    commands: Sequence[str]


def paper_tables(runs: Sequence[RunRecord]) -> list[PaperTable]:
    """Tables 1 to 6 in order."""
    given = {task_of(run) for run in runs}
    made = {6: _table6(runs), 4: _table4(runs)}
    for number in (1, 2, 3, 5):
        made[number] = _accuracies(_shown(paper_data.TABLES[number], given), runs)
    return [made[number] for number in sorted(made)]


def _shown(table: AccuracyTable, given: set[tuple[str, str]]) -> AccuracyTable:
    """The printed rows, and the stand-ins that were run."""
    rows = paper_commands.with_stand_ins(table).rows
    kept = [row for row in rows if row.stands_in is None or (row.dataset, row.model) in given]
    return dataclasses.replace(table, rows=tuple(kept))


def _accuracies(table: AccuracyTable, runs: Sequence[RunRecord]) -> PaperTable:
    """Tables 1, 2, 3 and 5: two accuracies of each system."""
    lines, sources, commands = [], [], []
    for row in table.rows:
        found = _found(row, runs)
        cells = [
            accuracy_cell(row, system, kind, found, runs)
            for system in row.systems
            for kind in ("test", "attack")
        ]
        lines.append([row.label, *cells, *(order(row, kind, found) for kind in _ORDERS)])
        sources += _sources(row, found)
        commands += _commands(table.number, row, found, runs)
    headers = [
        f"{paper_data.SYSTEMS[system]}: {_TITLES[kind]}"
        for system in table.systems
        for kind in ("test", "attack")
    ]
    return PaperTable(
        number=table.number,
        title=table.title,
        table=Table(
            caption=f"Table {table.number}: ours, its 95% interval, the paper's, ours minus theirs",
            headers=["data and network", *headers, *_ORDERS.values()],
            rows=lines,
        ),
        sources=sources,
        commands=commands,
    )


def _table6(runs: Sequence[RunRecord]) -> PaperTable:
    """Table 6: systems as rows, training accuracy too."""
    printed = paper_data.TABLES[6]
    row = printed.rows[0]
    found = _found(row, runs)
    kinds = ("train", "test", "attack")
    return PaperTable(
        number=6,
        title=f"{printed.title} ({row.label})",
        table=Table(
            caption="Table 6: ours, its 95% interval, the paper's, ours minus theirs",
            headers=["system", *(_TITLES[kind] for kind in kinds), "the paper's order"],
            rows=[
                [
                    paper_data.SYSTEMS[system],
                    *(accuracy_cell(row, system, kind, found, runs) for kind in kinds),
                    order(_against_baseline(row, system), "attack", found),
                ]
                for system in row.systems
            ],
        ),
        sources=_sources(row, found),
        commands=_commands(6, row, found, runs),
    )


def _against_baseline(row: Row, system: str) -> Row:
    pair = {name: row.systems[name] for name in dict.fromkeys(("none", system))}
    return dataclasses.replace(row, systems=pair)


def _table4(runs: Sequence[RunRecord]) -> PaperTable:
    """Table 4: how many weights the winner keeps."""
    lines, sources, commands = [], [], []
    for row in paper_data.TABLE4:
        task = (row.dataset, row.model)
        options = measured_as(runs, task, "pruning")
        counts = ["not run"] * 3
        if options:
            best = options[0]
            weights, nonzero = best.mean("weights"), best.mean("nonzero")
            counts = [_count(weights), _count(nonzero), tables.times(best.mean("compression"))]
            sources.append(_source(row.label, "pruning", options))
        elif _ran(runs, task, "pruning"):
            counts = ["nothing confirmed"] * 3
        else:
            commands.append(paper_commands.command(4, row, "pruning"))
        theirs = [_count(row.weights), _count(row.nonzero), tables.times(row.ratio)]
        cells = [f"{ours}\npaper {paper}" for ours, paper in zip(counts, theirs, strict=True)]
        if options:
            best = options[0]
            notes = [*([] if best.feasible else [NEAREST]), *best.caveats]
            change = _signed(best.mean("compression") - row.ratio, 2)
            cells[2] += "\n" + "\n".join([change, *notes])
        lines.append([row.label, *cells])
    return PaperTable(
        number=4,
        title="Weights before and after pruning",
        table=Table(
            caption="Table 4: ours, the paper's, ours minus theirs; counts are exact",
            headers=["data and network", "weights", "weights after pruning", "reduction ratio"],
            rows=lines,
        ),
        sources=sources,
        commands=commands,
    )


def _count(weights: float) -> str:
    """A number of weights as the paper prints it.

    >>> _count(13.83e6), _count(3800)
    ('13.83 M', '3.80 K')
    """
    return f"{weights / 1e6:.2f} M" if weights >= 1e5 else f"{weights / 1e3:.2f} K"


def _found(row: Row, runs: Sequence[RunRecord]) -> dict[str, list[Measured]]:
    task = (row.dataset, row.model)
    return {
        system: measured_as(runs, task, system, row.epsilon if system == "dp" else None)
        for system in row.systems
    }


def _ran(runs: Sequence[RunRecord], task: tuple[str, str], system: str) -> bool:
    return any(task_of(run) == task and system_of(run) == system for run in runs)


def accuracy_cell(
    row: Row, system: str, kind: str, found: Mapping[str, list[Measured]], runs: Sequence[RunRecord]
) -> str:
    """Ours, its interval, the paper's and the difference, one per line, or that it was not run."""
    printed = getattr(row.systems[system], kind)
    theirs = f"paper {tables.percent(printed, 2)}"
    if not found[system]:
        ran = _ran(runs, (row.dataset, row.model), system)
        state = "nothing confirmed" if ran else "not run"
        return state if row.stands_in else f"{state}\n{theirs}"
    best = found[system][0]
    ours = best.share(_COLUMNS[kind])
    lines = [
        tables.percent(ours.estimate),
        tables.between(ours.low, ours.high, "percent"),
        *([] if row.stands_in else [theirs, points(ours.estimate - printed)]),
    ]
    if system == "dp" and kind == "test":
        lines.append(epsilon_of(best))
    if not best.feasible and kind == "test":
        lines.append(NEAREST)
    return "\n".join([*lines, *best.caveats])


def points(change: float) -> str:
    """A difference of two fractions.

    >>> points(-0.0123)
    '−1.2 points'
    """
    return f"{_signed(100 * change, 1)} points" if math.isfinite(change) else UNKNOWN


def _signed(change: float, digits: int) -> str:
    return f"{change:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def epsilon_of(measured: Measured) -> str:
    """The guarantee of a DP model, in words."""
    epsilon = measured.number("epsilon")
    return "epsilon not recorded" if epsilon is None else f"epsilon {epsilon:.3g}"


def order(row: Row, kind: str, found: Mapping[str, list[Measured]]) -> str:
    """Whether our figures keep the paper's order of the systems, as a whole and for each pair.

    kind: "test" or "attack" accuracy, or "gain": the paper's order of attack accuracy, held against
        our excess gains, which also weigh how sure an attacker is.

    A pair is decided when the 95% interval of the difference excludes zero.
    """
    printed = "attack" if kind == "gain" else kind
    verdicts = []
    for first, second in itertools.combinations(row.systems, 2):
        if not (found[first] and found[second]):
            continue
        low, high = sorted((first, second), key=lambda name: getattr(row.systems[name], printed))
        gap = difference(_figure(found[low][0], kind), _figure(found[high][0], kind))
        verdicts.append((f"{SHORT[low]} < {SHORT[high]}", decided(gap)))
    if not verdicts:
        return UNKNOWN
    words = [word for _, word in verdicts]
    whole = HOLDS if set(words) == {HOLDS} else UNDECIDED
    whole = REVERSED if REVERSED in words else whole
    return "\n".join([whole, *(f"{_MARKS[word]} {pair}" for pair, word in verdicts)])


def _figure(one: Measured, kind: str) -> Interval:
    return one.excess() if kind == "gain" else one.share(_COLUMNS[kind])


def decided(gap: Interval) -> str:
    """Whether a difference that should be negative is."""
    if gap.high < 0:
        return HOLDS
    return REVERSED if gap.low > 0 else UNDECIDED


def _sources(row: Row, found: Mapping[str, list[Measured]]) -> list[str]:
    return [_source(row.label, system, options) for system, options in found.items() if options]


def _source(label: str, system: str, options: Sequence[Measured]) -> str:
    best, *others = options
    text = f"{label}, {paper_data.SYSTEMS[system]}: {best.name} ({best.source})"
    if system == "dp":
        text += f", {epsilon_of(best)}"
    names = dict.fromkeys(f"{other.name} ({other.source})" for other in others)
    return text + (f"; not shown: {', '.join(names)}" if names else "")


def _commands(
    number: int, row: Row, found: Mapping[str, list[Measured]], runs: Sequence[RunRecord]
) -> list[str]:
    """The commands for the missing systems; one that ended without a winner is not missing."""
    task = (row.dataset, row.model)
    return [
        paper_commands.command(number, row, system)
        for system, options in found.items()
        if not options and not _ran(runs, task, system)
    ]
