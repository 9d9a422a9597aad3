"""What kind of run a record holds: its defence, pruner and task, and whether runs are alike."""

import dataclasses
from collections.abc import Mapping, Sequence

from analysis.load import RunRecord, run_name
from trainables.base import noun
from trainables.config import TARGETS_PAIR
from trainables.defenses.registry import named
from trainables.paper import TASKS


def defense_of(run: RunRecord) -> str:
    """The run's defence; runs that record none are older than the choice, and pruned."""
    return str(run.config["search"].get("defense", "pruning"))


PAPERS_PRUNER = "admm"


def pruner_of(run: RunRecord) -> str | None:
    """How the run pruned; None where its defence does not prune."""
    if not named(defense_of(run)).prunes:
        return None
    return str(run.config["search"].get("pruner", PAPERS_PRUNER))


def system_of(run: RunRecord) -> str:
    """The defence, with the pruner where it is not the paper's ADMM: it groups runs of a kind."""
    pruner = pruner_of(run)
    return defense_of(run) + ("" if pruner in (None, PAPERS_PRUNER) else f" by {pruner}")


def references(run: RunRecord) -> int:
    """How many models made like it an attack's target has; 0 where none is recorded."""
    search = run.config["search"]
    if search.get("no_references"):
        return 0
    if "models" in search:
        return int(search["models"]) - TARGETS_PAIR
    return int(search.get("references") or 0)


def models(run: RunRecord) -> int | None:
    """How many models of each vector decided in the end; None where none is recorded."""
    search = run.config["search"]
    counts = [search.get("models"), *(search.get("more_models") or [])]
    return None if counts[-1] is None else int(counts[-1])


def task_of(run: RunRecord) -> tuple[str, str]:
    """Data set and network."""
    search = run.config["search"]
    return str(search.get("dataset", "")), str(search.get("model", ""))


PAPERS_DATASETS = {task.split("-")[0] for tasks in TASKS.values() for task in tasks}
"""The data sets of the paper's tables."""

SMOKE = "smoke run, figures without meaning"


def unlike(run: RunRecord) -> str | None:
    """Why a run must not stand beside ordinary ones; None for an ordinary one."""
    if is_smoke(run):
        return SMOKE
    search = run.config["search"]
    if canaries := search.get("canaries") or 0:
        return f"{canaries:.0%} of its labels are wrong on purpose (--canaries)"
    if (search.get("members") or search.get("dense")) and search.get("dataset") in PAPERS_DATASETS:
        return "its members or its network were given (--members, --dense)"
    if (limit := search.get("limit")) and search.get("dataset") in PAPERS_DATASETS:
        return f"it draws {limit:,} {noun.many()} only from the paper's data set (--limit)"
    return None


def is_smoke(run: RunRecord) -> bool:
    """Whether a run only showed that the program works, by its preset's name or its budgets.

    A single epoch of each phase is such a budget.
    """
    search, asked = run.config["search"], preset(run)
    budgets = [
        part.get(name) if isinstance(part := search.get(phase), Mapping) else None
        for phase, name in (("training", "epochs"), ("admm", "retrain_epochs"))
    ]
    return asked == "smoke" or asked.endswith("-smoke") or budgets == [1, 1]


PAPERS_PRESETS = "paper-"


def preset(run: RunRecord) -> str:
    """The preset that the run was asked for, "" where none was."""
    options = run.config.get("options")
    return str(options.get("preset")) if isinstance(options, Mapping) else ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The runs that a page is made of."""

    runs: Sequence[RunRecord]
    left_out: Sequence[str]
    """One line for each unusual run that is not shown."""

    caveats: Sequence[str]
    """One line for each unusual run that is shown because there is no ordinary one."""


def ordinary(runs: Sequence[RunRecord]) -> Chosen:
    """Ordinary runs only; where there is none, all of them, with what is wrong with each."""
    reasons = {id(run): unlike(run) for run in runs}
    kept = [run for run in runs if reasons[id(run)] is None]
    lines = [
        f"{run_name(run, runs)}: {reasons[id(run)]}" for run in runs if reasons[id(run)] is not None
    ]
    if kept:
        return Chosen(runs=kept, left_out=lines, caveats=[])
    return Chosen(runs=runs, left_out=[], caveats=lines)
