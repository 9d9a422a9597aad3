"""Measures the best candidates again, honestly: fresh seeds, fresh folds, matched references."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ray import tune

from search.search_options import SearchConfig
from search.space import Candidate
from search.tune.kept import kept_logits
from search.tune.stage import Stage, run_stage
from trainables.base.seeding import derive_seed
from trainables.config import TrialConfig
from trainables.job import Job, Shared
from trainables.outcome.objective import LEAST_LEAK, Goal
from trainables.outcome.winner import best_first, nearest_first
from trainables.records import COMPARATOR, COMPLETE, PRUNED, SEARCH_KINDS

log = logging.getLogger(__name__)

MAX_ROUNDS = 3
"""The winner of a noisy search may fail; the next best get their chance this many times."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What a confirmation needs from the run around it."""

    config: SearchConfig
    base: Job
    """The job of a search trial; confirmations change its kind, seed and vector."""

    stage: Callable[[str, list[Job], Shared, bool], Stage]
    """(name, jobs, shared, recorded) -> a stage of this run."""

    shared: Shared
    say: Callable[[str], None]

    keep_cross_audit: Callable[[str, list[tune.Result]], None]
    """(first confirm trial of a vector, its references in order); see stages/cross_audit.py."""

    kind: str = "confirm"
    """The kind of the rows that it writes."""

    def by(self, pruner: str) -> "Confirmation":
        """The same for comparators that this pruner makes."""
        trial = dataclasses.replace(self.base.trial, pruner=pruner)
        base = dataclasses.replace(self.base, trial=trial)
        return dataclasses.replace(self, base=base, kind=COMPARATOR)


def best_candidates(rows: Sequence[Row], goal: Goal = LEAST_LEAK) -> list[Candidate]:
    """Distinct candidates of the feasible searched trials, the best of what the goal asks first."""
    feasible = [row for row in _searched(rows, COMPLETE) if row["feasible"]]
    return _distinct(best_first(feasible, goal))


def nearest_candidates(rows: Sequence[Row], goal: Goal) -> list[Candidate]:
    """Distinct candidates of the searched trials, the nearest to the bounds first.

    For a run without a feasible trial, which others are still to be compared with. Trials that
    were stopped are taken only where none had its full budget; failed ones never.
    """
    tried = _searched(rows, COMPLETE) or _searched(rows, PRUNED)
    return _distinct(nearest_first(tried, goal))


def _searched(rows: Sequence[Row], state: str) -> list[Row]:
    return [row for row in rows if row["kind"] in SEARCH_KINDS and row["state"] == state]


def _distinct(rows: Sequence[Row]) -> list[Candidate]:
    return list(
        dict.fromkeys(Candidate.of(row["n"], row.get("defense_parameters")) for row in rows)
    )


def confirm(
    confirmation: Confirmation,
    candidates: Sequence[Candidate],
    has_winner: Callable[[], bool],
) -> dict[str, tune.Result]:
    """Re-run the best `confirm_top` candidates, then the next ones while none stays feasible.

    has_winner: reads the rows written so far.  Returns the confirm trials' results by trial id.
    """
    config = confirmation.config
    results: dict[str, tune.Result] = {}
    for round_number in range(MAX_ROUNDS):
        first = round_number * config.confirm_top
        chosen = candidates[first : first + config.confirm_top]
        if not chosen:
            break
        if round_number:
            confirmation.say(
                "None of the confirmed candidates kept the accuracy bound; trying the next best."
            )
        results |= measure(confirmation, str(round_number), first, chosen)
        if has_winner():
            break
    return results


def measure(
    confirmation: Confirmation, name: str, first: int, candidates: Sequence[Candidate]
) -> dict[str, tune.Result]:
    """One round: each candidate with every fresh seed, attacked with references of its own.

    first: the rank of the first candidate; ranks number the trials and must not be used twice.
    """
    shared = confirmation.shared
    if confirmation.config.references:
        shared = _with_references(confirmation, name, first, candidates)
    jobs = [
        _confirm_job(confirmation, first + position, candidate, seed)
        for position, candidate in enumerate(candidates)
        for seed in range(confirmation.config.confirm_seeds)
    ]
    return run_stage(confirmation.stage(f"confirm-{name}", jobs, shared, True))


def _confirm_job(confirmation: Confirmation, rank: int, candidate: Candidate, seed: int) -> Job:
    config = confirmation.config
    trial = dataclasses.replace(
        confirmation.base.trial,
        kind=confirmation.kind,
        number=rank * config.confirm_seeds + seed,
        seed=derive_seed(config.seed, f"confirm-{seed}"),  # the same for every candidate: paired
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        confirmation.base,
        trial=trial,
        matched_references=references_name(rank) if config.references else None,
        keep_model=True,
    )


def references_name(rank: int) -> str:
    """The name of the references of the `rank`-th best candidate."""
    return f"vector-{rank:02d}"


def _with_references(
    confirmation: Confirmation, name: str, first: int, candidates: Sequence[Candidate]
) -> Shared:
    """Make the run's references the way of each candidate; their logits join what trials share."""
    jobs = [
        _reference_job(confirmation, first + position, candidate, reference)
        for position, candidate in enumerate(candidates)
        for reference in range(confirmation.config.references)
    ]
    stage = confirmation.stage(f"references-{name}", jobs, confirmation.shared, False)
    results = run_stage(stage, needed="reference model")
    logits = [kept_logits(results[job.trial.trial_id]) for job in jobs]
    count = confirmation.config.references
    own = [slice(position * count, (position + 1) * count) for position in range(len(candidates))]
    for position, candidate in enumerate(candidates):
        first_seed = _confirm_job(confirmation, first + position, candidate, 0).trial.trial_id
        models = [results[job.trial.trial_id] for job in jobs[own[position]]]
        confirmation.keep_cross_audit(first_seed, models)
    groups = {
        references_name(first + position): np.stack(logits[part])
        for position, part in enumerate(own)
    }
    return dataclasses.replace(confirmation.shared, references=groups)


def _reference_job(
    confirmation: Confirmation, rank: int, candidate: Candidate, reference: int
) -> Job:
    config = confirmation.config
    trial: TrialConfig = dataclasses.replace(
        confirmation.base.trial,
        kind="reference",
        number=rank * config.references + reference,
        seed=derive_seed(config.seed, f"reference-pruning-{reference}"),
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        confirmation.base,
        trial=trial,
        dense=f"reference-{reference:02d}",
        reference=reference,
        keep_model=True,
    )
