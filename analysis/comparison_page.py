"""Several runs side by side: what the terminal shows, in several forms, and one page."""

from collections.abc import Sequence

from analysis import figures, pages, run_kind, statistics, tables
from analysis.comparison_json import as_json
from analysis.load import RunRecord, load_distinct, noun_of, run_name
from analysis.run_page import wall_clock
from analysis.summary import defense_in_words
from analysis.winners_in_pairs import pairs
from analysis.winners_in_pairs import table as table_of_pairs
from trainables.base import noun
from trainables.base.commandline import program
from trainables.base.errors import InvalidInput
from trainables.base.storage import Place

FORMS = ("text", "markdown", "json")


def compare(paths: Sequence[Place | str], form: str = "text") -> tuple[str, str]:
    """What to print, and the HTML page, that compare the runs at `paths`.

    form: one of FORMS.
    Raises InvalidInput with fewer than two runs, a run given twice, or different data sets.
    """
    runs = _load(paths)
    with noun.spoken(noun_of(runs)):
        return _compared(runs, form)


def _compared(runs: Sequence[RunRecord], form: str) -> tuple[str, str]:
    table, caveats, found = comparison(runs), _caveats(runs), pairs(runs)
    shown = [table, *([table_of_pairs(found)] if found else [])]
    curves = {run_name(run, runs): statistics.best_so_far(run.trials) for run in runs}
    page = pages.render(
        "compare.html.jinja",
        {
            "title": "Runs compared",
            "table_of_runs": table,
            "pairs": shown[1] if found else None,
            "caveats": caveats,
            "progress": pages.figure(figures.compare_progress(curves)),
            "commands": [(run_name(run, runs), str(run.config.get("command", ""))) for run in runs],
        },
    )
    if form == "json":
        return as_json(runs, found, caveats), page
    if form == "markdown":
        parts = [f"{one.caption}\n\n{tables.as_markdown(one)}" for one in shown]
        return "\n\n".join([*parts, *caveats]), page
    blocks = [tables.as_text(table), *caveats]
    blocks += [f"\n{one.caption}\n{tables.as_text(one)}" for one in shown[1:]]
    return "\n".join(blocks), page


def _load(paths: Sequence[Place | str]) -> list[RunRecord]:
    if len(paths) < 2:
        raise InvalidInput(
            "compare needs at least two runs that have begun; for one, use "
            f"`{program('analysis.report', *(paths or ['RUN']))}`"
        )
    runs = load_distinct(paths)
    sets = {str(run.config["search"].get("dataset")) for run in runs}
    if len(sets) > 1:
        raise InvalidInput(
            f"the runs use different data sets ({', '.join(sorted(sets))}), so their gains cannot "
            "be compared; give runs on one data set"
        )
    return runs


def _caveats(runs: Sequence[RunRecord]) -> list[str]:
    """What keeps these runs from being fully comparable, one sentence each."""
    settings = {
        "the network": [run.config["search"].get("model") for run in runs],
        "the number of trials": [run.config["search"].get("trials") for run in runs],
        "the allowed accuracy drop": [
            run.config["search"].get("max_accuracy_drop") for run in runs
        ],
        "the compression bound": [run.config["search"].get("min_compression") for run in runs],
        "the attacks on the search's trials": [
            statistics.search_has_references(run.trials) for run in runs
        ],
        "the number of references": [run_kind.references(run) for run in runs],
        "the number of models that decided": [run_kind.models(run) for run in runs],
        f"the split of the {noun.many()}": [run.config.get("split_hashes") for run in runs],
    }
    unlike = [(run_name(run, runs), run_kind.unlike(run)) for run in runs]
    return [f"{name}: {reason}." for name, reason in unlike if reason is not None] + [
        f"The runs differ in {what}."
        for what, values in settings.items()
        if any(value != values[0] for value in values)
    ]


def comparison(runs: Sequence[RunRecord]) -> tables.Table:
    """One line per run, with confirmed figures only."""
    return tables.Table(
        caption="Means over fresh seeds; 95% intervals in the second line",
        headers=[
            "run",
            "model",
            "defence",
            "sampler",
            "excess gain (nats)",
            "test accuracy",
            "compression",
            "feasible share",
            "trials",
            "wall clock",
        ],
        rows=[_line(run, run_name(run, runs)) for run in runs],
        text_columns=4,
    )


def _line(run: RunRecord, name: str) -> list[str]:
    rows = statistics.search_trials(run.trials)
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    figures_of_winner = ["no winner", *[tables.UNKNOWN] * 2]
    if best is not None:
        figures_of_winner = [
            tables.with_bounds(best, "excess_gain"),
            tables.with_bounds(best, "test_accuracy", "percent"),
            tables.compressed(best["compression"], best["weights"], best["parameters"]),
        ]
    share = rows["feasible"].eq(True).mean() if len(rows) else None
    search = run.config["search"]
    reason = run_kind.unlike(run)
    return [
        name if reason is None else f"{name}\n{reason}",
        str(search.get("model", tables.UNKNOWN)),
        defense_in_words(search),
        str(search.get("sampler", tables.UNKNOWN)),
        *figures_of_winner,
        tables.percent(share, 0),
        str(len(rows)),
        tables.duration(wall_clock(run.trials)),
    ]
