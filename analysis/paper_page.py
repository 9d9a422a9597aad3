"""The paper's tables and figures with our runs beside them, as text and as one page."""

from collections.abc import Sequence
from typing import Any

from analysis import (
    defenses,
    figures,
    level_tables,
    pages,
    paper_figures,
    run_tables,
    shadow_audit,
    statistics,
)
from analysis.defenses import Task
from analysis.load import RunRecord, load_distinct, noun_of, run_name
from analysis.paper_tables import PaperTable, paper_tables
from analysis.run_kind import Chosen, ordinary
from analysis.side_by_side import defended
from trainables.base import noun
from trainables.base.storage import Place


def paper(paths: Sequence[Place | str]) -> tuple[str, str]:
    """The summary in words and the HTML page of the runs at `paths`, which may be empty.

    Raises InvalidInput for a run given twice and for a folder that is not a run.
    """
    chosen = ordinary(load_distinct(paths))
    with noun.spoken(noun_of(chosen.runs)):
        return _paper(chosen)


def _paper(chosen: Chosen) -> tuple[str, str]:
    runs = chosen.runs
    made = paper_tables(runs)
    compared = [
        _at_matched_accuracy(index, task, runs) for index, task in enumerate(defenses.tasks(runs))
    ]
    winners = [defended(run, run_name(run, runs)) for run in runs]
    known = [winner for winner in winners if winner is not None]
    page = pages.render(
        "paper.html.jinja",
        {
            "title": "The paper's tables and figures, beside our runs",
            "left_out": chosen.left_out,
            "caveats": chosen.caveats,
            "tables": made,
            "overview": run_tables.overview(runs, winners) if runs else None,
            "audited": _audited(runs),
            "pruners": run_tables.pruners(runs, winners),
            "attacks": run_tables.every_attack(known) if known else None,
            "tasks": compared,
            **_figures(runs),
        },
    )
    return _text(chosen, made, compared), page


def _audited(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """What each audit says, and the runs that lack one although they have a winner."""
    found = {run_name(run, runs): shadow_audit.of(run) for run in runs}
    return {
        "said": [f"{name}: {one.sentence()}" for name, one in found.items() if one is not None],
        "missing": [
            name
            for run, (name, one) in zip(runs, found.items(), strict=True)
            if one is None
            and statistics.confirmed_winner(run.trials, run.config, run.crossed) is not None
        ],
    }


def _at_matched_accuracy(index: int, task: Task, page: Sequence[RunRecord]) -> dict[str, Any]:
    """One task's table, picture and sentences."""
    found = defenses.at_levels(task, page)
    drawn = {defense: defenses.front(task.of(defense)) for defense in task.defenses}
    dense = [statistics.dense(run.trials, run.crossed) for run in task.runs]
    first = next((row for row in dense if row is not None), None)
    return {
        "title": task.title,
        "table": level_tables.table(task, found),
        "words": level_tables.in_words(found),
        "figure": pages.figure(figures.fronts(f"fronts{index}", drawn, first)),
    }


def _figures(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Figures 2 and 3; they are None without a run."""
    task = paper_figures.task_shown(runs)
    if task is None:
        return {"figure2": None, "figure3": None, "figures_of": "", "not_recorded": []}
    curves = paper_figures.loss_curves(runs, task)
    return {
        "figure2": pages.figure(figures.losses(curves)),
        "not_recorded": [
            name
            for name, curve in curves.items()
            if curve is not None and curve["attack_accuracy"].isna().all()
        ],
        "figure3": pages.figure(figures.weight_histograms(paper_figures.weights(runs, task))),
        "figures_of": f"{task[1]} on {task[0]}",
    }


def _text(chosen: Chosen, made: Sequence[PaperTable], compared: Sequence[dict[str, Any]]) -> str:
    """The summary for a terminal: how complete each table is, and what is best at each level."""
    lines = [_completeness(table) for table in made]
    lines += [f"Left out: {line}" for line in chosen.left_out]
    lines += [f"Shown for lack of an ordinary run: {line}" for line in chosen.caveats]
    for task in compared:
        lines += [f"{task['title']}, at matched test accuracy:"]
        lines += [f"  {sentence}" for sentence in task["words"]]
    return "\n".join(lines)


def _completeness(made: PaperTable) -> str:
    missing = f"{len(made.commands)} to run" if made.commands else "complete"
    return f"Table {made.number}: {len(made.sources)} systems measured, {missing}"
