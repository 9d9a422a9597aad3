"""The page of a comparison of defences, PARENT/comparison.html: its fronts, in pairs, and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import figures, pages, run_kind, statistics, tables
from analysis.leak_at_levels import (
    NONE,
    PRUNING,
    Gap,
    Least,
    at_levels,
    beside,
    said_beside,
    same_dense_models,
    sentence,
)
from analysis.load import RunRecord, load_comparison, noun_of
from analysis.run_kind import defense_of
from analysis.run_page import wall_clock
from analysis.statistics import Interval
from trainables.base import noun
from trainables.base.storage import Place, place
from trainables.defenses.registry import named
from trainables.records import DEFENCES

PAGE = "comparison.html"

At = Mapping[float, Mapping[str, Least | None]]
"""Level -> defence -> its winner there."""

NOTHING = "none confirmed"


def write_comparison(
    folder: Place | str, faults: Mapping[str, str] | None = None, to: Place | None = None
) -> tuple[Place, str]:
    """Write the page of the comparison in a folder, complete or not; the file, and what it says.

    faults: defence -> why its run could not be made.  to: another place for the page.
    Raises InvalidInput where the folder holds no comparison.
    """
    config, runs = load_comparison(folder)
    above = place(folder) if isinstance(folder, str) else folder
    target = above / PAGE if to is None else to
    with noun.spoken(noun_of(runs)):
        return target, _written(config, runs, faults or {}, target)


def _written(
    config: Mapping[str, Any], runs: Sequence[RunRecord], faults: Mapping[str, str], target: Place
) -> str:
    """Write the page; what it says in short."""
    measured = [run for run in runs if statistics.baseline(run.trials) is not None]
    at = at_levels(measured)
    said = [sentence(tables.level_name(level), found) for level, found in at.items()]
    caveats = _caveats(config, measured, faults)
    short = tables.in_short(
        {defense_of(run): [_short(at[level][defense_of(run)]) for level in at] for run in measured},
        [*at],
    )
    values = {
        "title": "Which defence?",
        "facts": _facts(config, measured),
        "command": config.get("command"),
        "sentences": said,
        "caveats": caveats,
        "short": short,
        "levels": [_level(level, found) for level, found in at.items()],
        "costs": tables.costs([_cost_line(run, at) for run in measured]),
        "notes": _notes(measured, at),
        "figure": pages.figure(_figure(measured, at)),
        "reports": [(defense_of(run), f"{DEFENCES}/{defense_of(run)}") for run in runs],
        "models": sorted({run_kind.models(run) or 0 for run in measured}),
    }
    pages.write(target, pages.render("defenses.html.jinja", values))
    return "\n".join([tables.as_text(short), *said, *caveats])


def _facts(config: Mapping[str, Any], runs: Sequence[RunRecord]) -> list[str]:
    task = [f"{model} on {dataset}" for dataset, model in map(run_kind.task_of, runs[:1])]
    return [*task, *(str(config[name]) for name in ("run_id", "created_at") if name in config)]


def _short(one: Least | None) -> str:
    return NOTHING if one is None else _bounded(one.excess)


def _bounded(interval: Interval, kind: str = "nats") -> str:
    show = tables.percent if kind == "percent" else tables.nats
    return f"{show(interval.estimate)}\n{tables.between(interval.low, interval.high, kind)}"


def _level(level: float, found: Mapping[str, Least | None]) -> dict[str, Any]:
    """The table of a level, and a sentence for each pair that it compares."""
    references = [name for name in (PRUNING, NONE) if found.get(name) is not None]
    gaps = {name: _gaps(found, name) for name in references}
    rows = []
    for name, one in found.items():
        if one is None:
            rows.append([name, tables.UNKNOWN, NOTHING, *[tables.UNKNOWN] * (4 + len(references))])
            continue
        cells = [
            _bounded(gaps[reference][name].interval) if name in gaps[reference] else tables.UNKNOWN
            for reference in references
        ]
        rows.append([*_start(one), _bounded(one.excess), *cells, *_price(one)])
    apart = [name for each in gaps.values() for name, gap in each.items() if not gap.paired]
    return {
        "name": tables.level_name(level),
        "table": tables.of_level(level, references, rows),
        "said": [line for name in references for line in said_beside(name, gaps[name])],
        "unpaired": list(dict.fromkeys(apart)),
    }


def _gaps(found: Mapping[str, Least | None], reference: str) -> dict[str, Gap]:
    """Defence -> how it stands beside the reference, without those that have no candidate."""
    other = found[reference]
    compared = {
        name: None if one is None or other is None else beside(one, other)
        for name, one in found.items()
    }
    return {name: gap for name, gap in compared.items() if gap is not None}


def _start(one: Least) -> list[str]:
    numbers = [f"{name} {value:.3g}" for name, value in one.numbers.items()]
    kept = "no level" if named(one.defense).is_bare else str(one.row["kept"])
    return [one.defense, ", ".join(numbers) or tables.UNKNOWN, kept]


def _price(one: Least) -> list[str]:
    lost = one.lost
    return [
        tables.UNKNOWN if lost is None else _bounded(lost, "percent"),
        tables.with_bounds(one.row, "test_accuracy", "percent"),
        tables.times(float(one.row["compression"])),
    ]


def _cost_line(run: RunRecord, at: At) -> list[str]:
    """What one defence costs, by the rows of trials.parquet: medians of all models in full."""
    name, dense = defense_of(run), statistics.baseline(run.trials)
    found = [one for each in at.values() if (one := each[name]) is not None]
    scratch = named(name).from_scratch
    start = "from its initialisation" if scratch else "from a dense model"
    if not found:
        return [name, start, *[tables.UNKNOWN] * 4, tables.duration(wall_clock(run.trials))]
    rows = run.trials[(run.trials["state"] == "COMPLETE") & (run.trials["kind"] != "baseline")]
    columns = "training_s", "answer_s"
    training, answer = (rows[column].astype(float).median() for column in columns)
    before = "" if scratch or dense is None else f"\nafter {_seconds(dense['training_s'])} of dense"
    return [
        name,
        f"{start}\non {', '.join(sorted(set(rows['device'])))}",
        _seconds(training) + before,
        tables.UNKNOWN if answer != answer else f"{1000 * answer:.2g}",
        tables.percent(float(found[-1].row["flops_ratio"]), 0),
        tables.times(float(found[-1].row["compression"])),
        tables.duration(wall_clock(run.trials)),
    ]


def _seconds(value: float | None) -> str:
    return tables.UNKNOWN if value is None or value != value else f"{value:.1f}"


def _notes(runs: Sequence[RunRecord], at: At) -> list[str]:
    """What a defence proves, and what it leaves to whoever has the weights."""
    notes = []
    for run in runs:
        name, entry = defense_of(run), named(defense_of(run))
        if entry.on_weights is not None:
            notes.append(f"{name}, as its card says: {entry.on_weights}")
        for level, found in at.items() if entry.guarantee is not None else ():
            one = found[name]
            if one is not None:
                spent = dict(one.row["defense_spent"] or {})
                notes.append(
                    f"{name} at {tables.level_name(level)}: {entry.proof_in_words(spent)}."
                )
    return notes


def _figure(runs: Sequence[RunRecord], at: At) -> str:
    """Each winner of any level once, under its defence."""
    points: dict[str, list[tuple[Interval, Interval]]] = {}
    for run in runs:
        name = defense_of(run)
        winners = {one.row["trial_ids"]: one for each in at.values() if (one := each[name])}
        points[name] = [
            (lost, one.excess) for one in winners.values() if (lost := one.lost) is not None
        ]
    dense = [statistics.dense(run.trials, run.crossed) for run in runs[:1]]
    leak = None if not dense or dense[0] is None else float(dense[0]["excess_gain"])
    return figures.defenses(points, [*at], leak)


def _caveats(
    config: Mapping[str, Any], runs: Sequence[RunRecord], faults: Mapping[str, str]
) -> list[str]:
    """What keeps the page from being whole, or its figures from meaning what they say."""
    said = [f"{name} could not be measured: {why}." for name, why in faults.items()]
    asked = [str(run["defense"]) for run in config["comparison"]["runs"]]
    missing = [name for name in asked if name not in map(defense_of, runs) and name not in faults]
    if missing:
        said.append(f"Not measured yet: {', '.join(missing)}.")
    unusual = {reason for run in runs if (reason := run_kind.unlike(run)) is not None}
    said += [f"These runs are unusual: {reason}." for reason in sorted(unusual)]
    if len({run_kind.models(run) for run in runs}) > 1:
        said.append("The runs have unequal numbers of models, and more models see more of a leak.")
    if not same_dense_models(runs):
        said.append("The runs do not share their dense models, whose luck is in the differences.")
    return said
