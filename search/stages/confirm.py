"""Measures the best candidates again, honestly: fresh seeds, fresh folds, and a model per half."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune

from search.search_options import SearchConfig
from search.space import Candidate
from search.tune.kept import kept_digest
from search.tune.stage import Stage, run_stage
from trainables.attacks.digest import stacked
from trainables.base.seeding import derive_seed
from trainables.config import TARGETS_PAIR, TrialConfig
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
    """(a vector's confirm trial, its models by half); see stages/cross_audit.py."""

    kind: str = "confirm"
    """The kind of the rows that it writes."""

    def by(self, pruner: str) -> "Confirmation":
        """The same for comparators that this pruner makes."""
        trial = dataclasses.replace(self.base.trial, pruner=pruner)
        base = dataclasses.replace(self.base, trial=trial)
        return dataclasses.replace(self, base=base, kind=COMPARATOR)


def best_candidates(rows: Sequence[Row], goal: Goal = LEAST_LEAK) -> list[Candidate]:
    """Distinct candidates of the searched trials that are feasible for the goal, its best first."""
    feasible = [row for row in map(goal.seen, _searched(rows, COMPLETE)) if row["feasible"]]
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


def _distinct(rows: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    return list(
        dict.fromkeys(Candidate.of(row["n"], row.get("defense_parameters")) for row in rows)
    )


def after_the_rounds(config: SearchConfig) -> int:
    """The first rank that no candidate of the search can have."""
    return MAX_ROUNDS * config.confirm_top + len(config.every_level) - 1


def rounds(
    orders: Mapping[float, Sequence[Candidate]], config: SearchConfig
) -> list[tuple[int, list[Candidate]]]:
    """The rank of the first candidate of each round, and its candidates, each of them once.

    orders: level -> candidates in the order of their confirmation.  Of the bound asked for the
    best `confirm_top` come first, and the next ones in the rounds after; the first round has the
    best of every other level besides.
    """
    asked, *others = (orders[level] for level in config.every_level)
    top, room = config.confirm_top, len(others)
    firsts = [order[0] for order in others if order]
    besides = [one for one in dict.fromkeys(firsts) if one not in asked[:top]]
    later = [one for one in asked[top:] if one not in besides]
    next_ones = [
        (top + room + first, later[first : first + top])
        for first in range(0, (MAX_ROUNDS - 1) * top, top)
    ]
    found = [(0, [*asked[:top], *besides]), *next_ones]
    return [(first, chosen) for first, chosen in found if chosen]


def confirm(
    confirmation: Confirmation,
    orders: Mapping[float, Sequence[Candidate]],
    begun: frozenset[int],
    has_winner: Callable[[], bool],
) -> dict[str, tune.Result]:
    """Measure the candidates of a round again, then the next ones while none stays feasible.

    orders: as for `rounds`.  begun: numbers of the confirm rows that a resumed run finds; it goes
    through all their rounds, since vectors that are compared need equally many models.  has_winner:
    whether one of the confirm rows wins.  Returns the confirm trials' results by trial id.
    """
    results: dict[str, tune.Result] = {}
    for round_number, (first, chosen) in enumerate(rounds(orders, confirmation.config)):
        if round_number and begun.isdisjoint(range(first, first + len(chosen))):
            if has_winner():
                break
            confirmation.say(
                "None of the confirmed candidates kept the accuracy bound; trying the next best."
            )
        results |= measure(confirmation, str(round_number), first, chosen)
    return results


def measure(
    confirmation: Confirmation, name: str, first: int, candidates: Sequence[Candidate]
) -> dict[str, tune.Result]:
    """One round: all models of each candidate; the one that ships is attacked with the others.

    first: the rank of the first candidate; ranks number the trials and must not be used twice.
    Returns the results of the models that ship, by trial id.
    """
    others: dict[int, list[tune.Result]] = {}
    shared, config = confirmation.shared, confirmation.config
    if not config.no_references:
        others = _others(confirmation, name, range(1, config.models), first, candidates)
        references = {
            references_name(rank): stacked(
                [kept_digest(model) for model in models[TARGETS_PAIR - 1 :]]
            )
            for rank, models in others.items()
        }
        shared = dataclasses.replace(shared, references=references)
    jobs = [
        _confirm_job(confirmation, first + position, candidate)
        for position, candidate in enumerate(candidates)
    ]
    results = run_stage(confirmation.stage(f"confirm-{name}", jobs, shared, True))
    for total, halves in config.added_halves.items():
        added = _others(confirmation, f"{name}-{total}", halves, first, candidates)
        others = {rank: [*models, *added[rank]] for rank, models in others.items()}
    for rank, models in others.items():
        trial_id = jobs[rank - first].trial.trial_id
        target = results.get(trial_id)
        if target is not None and (target.metrics or {}).get("finished"):
            confirmation.keep_cross_audit(trial_id, [target, *models])
    return results


def _confirm_job(confirmation: Confirmation, rank: int, candidate: Candidate) -> Job:
    trial = dataclasses.replace(
        confirmation.base.trial,
        kind=confirmation.kind,
        number=rank,
        seed=derive_seed(confirmation.config.seed, "confirm-0"),  # the same for all: paired
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        confirmation.base,
        trial=trial,
        matched_references=None if confirmation.config.no_references else references_name(rank),
        keep_model=True,
    )


def references_name(rank: int) -> str:
    """The name of the references of the `rank`-th best candidate."""
    return f"vector-{rank:02d}"


def _others(
    confirmation: Confirmation,
    name: str,
    halves: range,
    first: int,
    candidates: Sequence[Candidate],
) -> dict[int, list[tune.Result]]:
    """Rank -> the models of each candidate on these halves, none of which ships."""
    jobs = {
        first + position: [
            _reference_job(confirmation, candidate, half, (first + position) * halves.stop + half)
            for half in halves
        ]
        for position, candidate in enumerate(candidates)
    }
    every = [job for each in jobs.values() for job in each]
    stage = confirmation.stage(f"references-{name}", every, confirmation.shared, False)
    results = run_stage(stage, needed="reference model")
    return {rank: [results[job.trial.trial_id] for job in each] for rank, each in jobs.items()}


def _reference_job(confirmation: Confirmation, candidate: Candidate, half: int, number: int) -> Job:
    config = confirmation.config
    trial: TrialConfig = dataclasses.replace(
        confirmation.base.trial,
        kind="reference",
        number=number,
        seed=derive_seed(config.seed, f"reference-pruning-{half}"),
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        confirmation.base,
        trial=trial,
        dense=f"reference-{half:02d}",
        reference=half,
        matched_references=None,
        keep_outputs=True,
    )
