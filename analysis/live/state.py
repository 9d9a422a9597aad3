"""All that the live page shows, in words and figures, as plain JSON."""

import dataclasses
import datetime
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import failures, standings, statistics, tables
from analysis.live import race
from analysis.live.layers import layers
from analysis.live.tradeoff import tradeoff
from analysis.live.watch import Watched
from analysis.load import RunRecord, noun_of
from analysis.tables import Table
from trainables.base import noun
from trainables.base.commandline import resume
from trainables.outcome.objective import goal_of
from trainables.progress import (
    BEAT_S,
    FAULTY,
    FINISHED,
    INTERRUPTED,
    MEASURES,
    RUNNING,
    RunProgress,
    StageProgress,
    kind_of,
)

SILENT_S = 6 * BEAT_S
"""A run that has not written for so long is probably gone."""


def now_of(watched: Watched, now: datetime.datetime) -> dict[str, Any]:
    """What changes at every moment: how far it is, slots, cost."""
    run, progress = watched.run, watched.progress()
    state, words = _state(watched, progress, now)
    stage = _current(progress) if state == RUNNING else None
    return {
        "state": state,
        "headline": words if stage is None else _stage_in_words(stage),
        "detail": "" if stage is None else words,
        "done": None if stage is None else [stage.done, stage.total],
        "facts": _facts(run, progress, stage),
        "stages": _as_json(_stages(progress)),
    }


def drawn_of(watched: Watched) -> dict[str, Any]:
    """What changes when a trial ends: figures and tables."""
    run = watched.run
    with noun.spoken(noun_of([run])):
        return _drawn(run, *_shown_vector(watched))


def _drawn(run: RunRecord, shown: pd.Series | None, whose: str) -> dict[str, Any]:
    """shown: the vector whose layers are drawn."""
    dense = statistics.dense(run.trials, run.crossed)
    confirmed = statistics.confirmed(run.trials, run.config, run.crossed)
    searched = not statistics.search_trials(run.trials).empty
    failed = _reasons(run.trials)
    return {
        "tradeoff": tradeoff(run, dense, confirmed) if searched or dense is not None else None,
        "layers": None if shown is None else layers(shown, whose),
        "layers_of": whose,
        "layer_counts": None if shown is None else _as_json(_of_layers(shown, whose)),
        "failures": _as_json(failed),
        "confirmed": None if confirmed.empty else _as_json(tables.confirmed_vectors(confirmed)),
    }


def race_of(watched: Watched) -> dict[str, Any]:
    """Which vectors live; it changes with each model, which has no row of its own."""
    run = watched.run
    found = standings.standings(watched.progress(), run.config, watched.best)
    weights = sum(run.config.get("layer_weights") or ())
    return {
        "race": race.figure(found, weights),
        "race_table": _as_json(standings.table(found, weights)) if found else None,
    }


def _state(
    watched: Watched, progress: RunProgress | None, now: datetime.datetime
) -> tuple[str, str]:
    """What became of the run, and a sentence on it."""
    again = f"Resume it: {resume(watched.resumed_by)}"
    if progress is None:
        if watched.ended:
            return FINISHED, "This run has ended; its report is in report.html."
        said = "This run has no report yet, and an older release wrote it, which did not say more"
        return INTERRUPTED, f"{said}. If it does not run any more: {resume(watched.resumed_by)}"
    if progress.outcome == FINISHED:
        return FINISHED, "This run has ended; its report is in report.html."
    if progress.outcome == FAULTY:
        return FAULTY, f"This run ended with a fault, told in run.log. {again}"
    if progress.outcome == INTERRUPTED:
        return INTERRUPTED, f"This run was interrupted; all that finished is kept. {again}"
    silent = (now - datetime.datetime.fromisoformat(progress.updated_at)).total_seconds()
    if silent > SILENT_S:
        lately = tables.duration(silent)
        return INTERRUPTED, f"No sign of life for {lately}: it was probably killed. {again}"
    left = _left(progress)
    return RUNNING, "" if left is None else f"The whole run: about {tables.duration(left)} left"


def _current(progress: RunProgress | None) -> StageProgress | None:
    return progress.stages[-1] if progress is not None and progress.stages else None


def _stage_in_words(stage: StageProgress) -> str:
    words = f"{stage.title}: {stage.done} of {stage.total}"
    if stage.done >= stage.total:
        return f"{words}, done"
    left = (
        "time left not known yet"
        if stage.left_s is None
        else f"about {tables.duration(stage.left_s)} left"
    )
    return f"{words}, {left}"


def _left(progress: RunProgress) -> float | None:
    """Seconds of the whole run: those of this stage, and of the models that are planned, at most.

    A model still to come is taken to cost what those so far did, in the mean.
    """
    stage = _current(progress)
    ended = sum(one.done for one in progress.stages)
    if stage is None or not ended or (stage.left_s is None and stage.done < stage.total):
        return None
    each = sum(one.busy_s for one in progress.stages) / ended
    at = _place(progress, stage)
    to_come = sum(
        max(0, planned - _made(progress, kind, begun=True))
        for place, (kind, planned) in enumerate(progress.planned.items())
        if place >= at
    )
    return (stage.left_s or 0.0) + each * to_come / max(1, stage.slots)


def _made(progress: RunProgress, kind: str, *, begun: bool = False) -> int:
    """Models of a kind that have ended; begun: or are in a stage that has begun."""
    stages = [
        one for one in progress.stages if kind_of(one.name) == kind and one.name not in MEASURES
    ]
    return sum(one.total if begun else one.done for one in stages)


def _stages(progress: RunProgress | None) -> Table | None:
    if progress is None:
        return None
    current = _current(progress)
    at = -1 if current is None else _place(progress, current)
    rows = []
    for place, (kind, planned) in enumerate(progress.planned.items()):
        if not planned:
            continue
        said = "to come" if place > at else "done"
        if current is not None and place == at:
            said = {RUNNING: "now", FINISHED: "done"}.get(progress.outcome, "reached")
        rows.append([kind, said, f"{_made(progress, kind)}", f"{planned} at most"])
    return Table(
        caption="Stages of the run, in models",
        headers=["stage", "state", "made", "planned"],
        rows=rows,
        text_columns=2,
    )


def _place(progress: RunProgress, stage: StageProgress) -> int:
    kinds = list(progress.planned)
    return kinds.index(kind_of(stage.name)) if kind_of(stage.name) in kinds else len(kinds)


def _facts(
    run: RunRecord, progress: RunProgress | None, stage: StageProgress | None
) -> list[list[str]]:
    rows = statistics.search_trials(run.trials)
    complete, goal = rows[rows["state"] == "COMPLETE"], goal_of(run.config["search"])
    feasible = rows[rows["feasible"].eq(True)]
    best = _best_of_search(run)
    planned = run.config["search"].get("trials", "?")
    found = [
        ["searched trials", f"{len(rows)} of {planned}"],
        ["feasible", f"{len(feasible)} of {len(complete)} complete"],
        [
            "best of the search",
            goal.in_words({} if best is None else {goal.objective: best[goal.objective]}),
        ],
        ["failed", str(int((run.trials["state"] == "FAILED").sum()))],
    ]
    if stage is not None:
        found.append(["slots busy", f"{stage.running} of {stage.slots}"])
    found.append(["cost so far", _cost(run, progress)])
    return found


def _cost(run: RunRecord, progress: RunProgress | None) -> str:
    """Of all models; of an older run, which counted none, of those that have a row."""
    if progress is None:
        seconds = float(run.trials["duration_s"].sum())
        return f"{seconds / 3600:.2f} slot-hours in rows" if math.isfinite(seconds) else "unknown"
    hours = sum(stage.busy_s for stage in progress.stages) / 3600
    words = f"{hours * progress.cpus_per_trial:.2f} core-hours"
    if progress.gpus_per_trial:
        words += f", {hours * progress.gpus_per_trial:.2f} GPU-hours"
    return words


def _shown_vector(watched: Watched) -> tuple[pd.Series | None, str]:
    """The winner, or the best of the search so far, and which of them it is."""
    if watched.best is not None:
        return watched.best, f"the winner, {watched.best['trial_ids'][0]}"
    row = _best_of_search(watched.run)
    if row is None:
        return None, "no feasible trial yet"
    return row, f"the best of the search so far, {row['trial_id']}"


def _best_of_search(run: RunRecord) -> pd.Series | None:
    rows, goal = statistics.search_trials(run.trials), goal_of(run.config["search"])
    usable = rows[rows["feasible"].eq(True) & rows[goal.objective].notna()]
    ordered = usable.sort_values(goal.objective, ascending=not goal.maximised, kind="stable")
    return None if ordered.empty else ordered.iloc[0]


def _of_layers(best: pd.Series, whose: str) -> Table:
    return dataclasses.replace(
        tables.layer_counts(best), caption=f"Non-zero weights per layer: {whose}"
    )


def _reasons(trials: pd.DataFrame) -> Table | None:
    """Why trials failed, the commonest reason first."""
    found = failures.by_reason(trials)
    if not found:
        return None
    return Table(
        caption="Failed trials by reason; numbers in it may differ",
        headers=["reason", "first trial", "trials"],
        rows=[[reason, names[0], str(len(names))] for reason, names in found.items()],
        text_columns=2,
    )


def _as_json(table: Table | None) -> Mapping[str, Any] | None:
    return None if table is None else dataclasses.asdict(table)
