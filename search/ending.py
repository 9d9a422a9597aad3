"""What a run says at its end: its headline, or why no candidate won; and its exit status."""

from collections.abc import Mapping

from rich.console import Console

from analysis import failures, run_kind
from analysis.defense_page import write_comparison
from analysis.load import RunRecord, load_run
from analysis.run_page import write_report
from analysis.statistics import confirmed, confirmed_winner, hardest_bound, search_trials
from analysis.summary import front_in_short, headline
from analysis.tables import as_text
from search.context import Context
from search.option_fields import exactly
from search.track.facts import figures
from search.track.protocol import Outcome
from trainables.base.commandline import FAULT, NOTHING_FEASIBLE, OK, program, resume, shown
from trainables.base.storage import Place, children
from trainables.defenses.registry import DEFENSES

FRONT = (0.0, 0.005, 0.01, 0.02, 0.05)
"""The levels that a run which had none is offered."""


def winner_found(context: Context) -> int:
    """Print the headline; the status is that of a fault where most trials failed."""
    report, found = write_report(context.folder.path), load_run(context.folder.path)
    for line in (headline(found), f"Report: {shown(report)}"):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    for step in next_steps(context):
        context.say(step)
    return OK if failures.deciding(found.trials, has_winner=True) is None else FAULT


def next_steps(context: Context) -> list[str]:
    """What a user may want now, each with its command."""
    run, config = context.folder.path, context.config
    entry = DEFENSES[config.defense]
    steps = []
    if not entry.network and entry.on_weights is None:
        steps.append(("A file that ships", program("search.export", run, "--format", "onnx")))
    if not config.levels:
        file, levels = run / "config.json", ",".join(map(exactly, FRONT))
        wider = program("search.run", "--config", file, "--levels", levels)
        steps.append(("Other trade-offs", wider))
    steps.append(("The run in a browser", program("search.dashboard", run)))
    return [f"{what}: {command}" for what, command in steps]


def nothing_feasible(context: Context, what: str) -> int:
    """Say why no candidate won: most trials failed, which is a fault, or missed a bound."""
    found = load_run(context.folder.path)
    report = write_report(context.folder.path)
    broken = failures.deciding(found.trials, has_winner=False)
    words = [f"{what}.", *_bounds(found)]
    if broken is not None:
        words = [f"{broken.sentence()}{broken.others()}"]
    if run_kind.is_smoke(found):
        words.append(f"This was a {run_kind.SMOKE}.")
    Console(stderr=True).print(
        f"{' '.join(words)} Report: {shown(report)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if (reached := front_in_short(found)) is not None:
        Console().print(as_text(reached), markup=False, highlight=False, soft_wrap=True)
    return NOTHING_FEASIBLE if broken is None else FAULT


def outcome(context: Context) -> Outcome:
    """What a tracker is told of the decision."""
    run = load_run(context.folder.path)
    best = confirmed_winner(run.trials, run.config, run.crossed)
    vectors = confirmed(run.trials, run.config, run.crossed)
    pairs = zip(vectors["trial_ids"], vectors["kept"], strict=True)
    verdicts = {str(trial_id): str(kept) for trial_ids, kept in pairs for trial_id in trial_ids}
    if best is None:
        return Outcome(winner=None, verdicts=verdicts, figures={}, files=())
    return Outcome(
        winner=str(best["trial_ids"][0]),
        verdicts=verdicts,
        figures=figures({str(name): value for name, value in best.items()}),
        files=children(context.folder.winner),
    )


def comparison_made(folder: Place, faults: Mapping[str, str]) -> None:
    """Write the page of a comparison and print what it says in short.

    faults: defence -> why its run could not be made.
    """
    page, words = write_comparison(folder, faults)
    Console().print(f"{words}\nPage: {shown(page)}", markup=False, highlight=False, soft_wrap=True)
    if faults:
        again = f"Again: {resume(folder)}"
        Console(stderr=True).print(again, markup=False, highlight=False, soft_wrap=True)


def _bounds(found: RunRecord) -> list[str]:
    """Sentences on the bounds and the failed trials, with advice only if the bounds decided."""
    failed = failures.of(search_trials(found.trials))
    confirm = failures.of(found.trials[found.trials["kind"] == "confirm"], "confirming trials")
    words = [one.sentence() for one in (failed, confirm) if one.failed]
    if not failed.missed and not confirm.missed:
        return words
    hardest = hardest_bound(found.trials) or "accuracy, under fresh seeds"
    return [
        f"The bound hardest to meet: {hardest}.",
        *words,
        "Allow a larger --max-accuracy-drop, a smaller --min-compression or more --trials.",
    ]
