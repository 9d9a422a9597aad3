"""The race: the search's promising vectors get a few models each, and the best go to confirmation.

A search trial is one model, and its luck decides which vectors look best.  So the vectors that look
promising, those that missed the accuracy bound by no more than that luck among them, are made again
on common halves (`TrialConfig.kind` "race"), as iterated racing does with instances (Lopez-Ibanez
et al. 2016, Oper. Res. Perspect. 3:43), and cross-audited.  Fidelity is the number of models, never
epochs.  The halves are the race's own: no reported figure comes from a pruned model that helped to
choose.  Accuracy is compared with the mean of all dense models: those of the race's own halves
alone would move every vector by their luck, which pruned models hardly inherit.

All levels of allowed accuracy drop share one race: its models serve every bound.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray import tune

from search.context import Context
from search.search_options import RACERS
from search.space import Candidate
from search.stages.cross_audit import found_by_cross_audit
from search.stages.dense import Dense
from search.tune.kept import kept_correct
from search.tune.required import StageFailed
from search.tune.stage import run_stage
from trainables.attacks import crossed
from trainables.attacks.crossed import Terms
from trainables.base.errors import one_line
from trainables.base.seeding import derive_seed
from trainables.job import Job
from trainables.outcome.feasible import ROUNDING, broken_bounds
from trainables.outcome.objective import Goal
from trainables.outcome.winner import best_first, raced_first
from trainables.records import COMPLETE, SEARCH_KINDS

KEY = "raced"
"""In config.json: the levels, each with the vectors in the order of their confirmation."""

HOPELESS = 2.0
"""Standard errors beyond the bound from which a vector of the race is not confirmed."""

LUCK = 0.01
"""How far, as a fraction, a single model may miss the accuracy bound and its vector still race: a
little more than the standard error of the accuracy of one model on 1,000 images."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Raced:
    """What the models of one vector showed in the race."""

    candidate: Candidate
    terms: Terms

    accuracies: np.ndarray
    """(m,) on the validation images."""


def field(rows: Sequence[Mapping[str, Any]], goal: Goal) -> list[Candidate]:
    """The vectors that race, the best of what the search saw first.

    rows: of trials.parquet.  They are the finished trials that keep every bound of the goal, or
    miss that of the accuracy alone and by no more than LUCK.
    """
    tried = [row for row in rows if row["kind"] in SEARCH_KINDS and row["state"] == COMPLETE]
    promising = [row for row in map(goal.seen, tried) if _may_be_feasible(row)]
    candidates = (
        Candidate.of(row["n"], row.get("defense_parameters")) for row in best_first(promising, goal)
    )
    return list(dict.fromkeys(candidates))[:RACERS]


def common_field(rows: Sequence[Mapping[str, Any]], goals: Sequence[Goal]) -> list[Candidate]:
    """The vectors that race for all goals: each goal's first, each one's second, and so on."""
    turns = itertools.zip_longest(*(field(rows, goal) for goal in goals))
    dealt = (candidate for turn in turns for candidate in turn if candidate is not None)
    return list(dict.fromkeys(dealt))[:RACERS]


def _may_be_feasible(row: Mapping[str, Any]) -> bool:
    broken = broken_bounds(row)
    return not broken or (broken == ["accuracy"] and row["accuracy_violation"] <= LUCK + ROUNDING)


def race(
    context: Context, dense: Dense, base: Job, candidates: Sequence[Candidate]
) -> dict[float, list[Candidate]]:
    """Level -> the candidates in the order of their confirmation, without whose training failed.

    base: the job of a search trial.  The order is kept in config.json: a resumed run confirms the
    same vectors even where a model of the race that had failed would not fail again.  Raises
    StageFailed where no vector can be compared.
    """
    stored = context.folder.read_config()
    if KEY not in stored:
        orders = _run_race(context, dense, base, candidates)
        kept = [[level, [_plain(one) for one in order]] for level, order in orders.items()]
        context.folder.write_config({**stored, KEY: kept})
        return orders
    return {
        float(level): [Candidate.of(n, dict(numbers)) for n, numbers in order]
        for level, order in stored[KEY]
    }


def _plain(candidate: Candidate) -> list[Any]:
    return [list(candidate.n), list(candidate.parameters)]


def _run_race(
    context: Context, dense: Dense, base: Job, candidates: Sequence[Candidate]
) -> dict[float, list[Candidate]]:
    first, count = context.config.first_race_half, context.config.race_models
    halves = range(first, first + count)
    jobs = {
        candidate: [
            _job(context, base, candidate, half, position * count + at)
            for at, half in enumerate(halves)
        ]
        for position, candidate in enumerate(candidates)
    }
    every = [job for each in jobs.values() for job in each]
    results = run_stage(context.stage("race", every, dense.shared, False))
    raced: list[Raced] = []
    for candidate, own in jobs.items():
        try:
            models = [results.get(job.trial.trial_id) for job in own]
            raced.append(_raced(context, candidate, models))
        except ValueError as error:
            weights = f"{sum(candidate.n):,}"
            context.say(f"A vector of {weights} weights left the race: {one_line(error)}")
    if not raced:
        raise StageFailed("no vector of the race has all its models; --no-race goes without it")
    entries = _entries(raced, dense)
    return {level: _order(context, entries, level) for level in context.config.every_level}


def _entries(raced: Sequence[Raced], dense: Dense) -> list[dict[str, Any]]:
    """Leak and accuracy lost of each vector, with the error of the latter.

    The luck of one vector's models is taken to be that of another's, since four tell little of
    their own; the median, since the models of a vector near collapse differ widely.
    """
    luck = float(np.median([one.accuracies.var(ddof=1) for one in raced]))
    before = float(dense.accuracies.mean())
    unsure = float(dense.accuracies.var(ddof=1)) / len(dense.accuracies)
    return [
        {
            "candidate": one.candidate,
            "excess_gain": crossed.excess(one.terms).value,
            "lost": before - float(one.accuracies.mean()),
            "lost_se": math.sqrt(luck / len(one.accuracies) + unsure),
        }
        for one in raced
    ]


def _order(context: Context, entries: list[dict[str, Any]], level: float) -> list[Candidate]:
    """Those that may keep the level, or else one round of the nearest to it."""
    ordered = raced_first(entries, level)
    possible = [one for one in ordered if one["lost"] - HOPELESS * one["lost_se"] <= level]
    chosen = possible or ordered[: context.config.confirm_top]
    return [entry["candidate"] for entry in chosen]


def _raced(context: Context, candidate: Candidate, models: Sequence[tune.Result | None]) -> Raced:
    """What the models showed. Raises ValueError where one failed or gives no finite answers."""
    made = [model for model in models if model is not None]
    failed = len(models) - sum(bool((model.metrics or {}).get("finished")) for model in made)
    if failed:
        raise ValueError(f"{failed} of its {len(models)} models failed")
    first = context.config.first_race_half
    found = found_by_cross_audit(context, made, context.halves[first : first + len(made)])
    accuracies = np.array([kept_correct(model)["validation"].mean() for model in made])
    return Raced(candidate=candidate, terms=found.terms, accuracies=accuracies)


def _job(context: Context, base: Job, candidate: Candidate, half: int, number: int) -> Job:
    trial = dataclasses.replace(
        base.trial,
        kind="race",
        number=number,
        seed=derive_seed(context.config.seed, f"race-pruning-{half}"),  # paired
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        base,
        trial=trial,
        dense=f"reference-{half:02d}",
        reference=half,
        matched_references=None,
        keep_outputs=True,
    )
