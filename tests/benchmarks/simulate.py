"""Simulated runs on a blackbox: every method, many seeds, equal numbers of trained models.

Every method spends its budget alike: first its search, one model a trial (`published`: four), then
a race where it has one, and at the end the confirmation, all models of each of the first vectors
in its order.  The winner is chosen by the confirmation alone, as in a real run, but only one round
of it is within the budget.  The winner is then judged by what is true of it.  Not simulated: trials
that are stopped early for their accuracy, which count as trained models here.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import optuna
import pandas as pd
from scipy import stats

from search.space import Counts
from tests.benchmarks.blackbox import Blackbox
from tests.benchmarks.laboratory import Found, Laboratory
from tests.benchmarks.methods import (
    FEW_LAYERS,
    METHODS,
    PREFIX_FROM,
    Method,
    Row,
    goal,
    methods_for,
)
from trainables.outcome.feasible import NO, UNDECIDED, YES, judged, reaches
from trainables.outcome.winner import winner

BUDGETS = (80, 104, 136, 200, 280, 400)
"""Trained models in all, the confirmation's 48 included; 136 is the preset's own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One method with one seed on one blackbox, at all budgets."""

    blackbox: str
    method: str
    seed: int


def trials_within(method: Method, budget: int, blackbox: Blackbox) -> int:
    """The trials that a budget leaves beside race and confirmation; 0 where none."""
    left = budget - blackbox.config.confirm_top * blackbox.config.models
    fitting = [trials for trials in range(1, left + 1) if method.models_for(trials) <= left]
    return fitting[-1] if fitting else 0


def simulated(
    blackbox: Blackbox, name: str, seed: int, budgets: Sequence[int] = BUDGETS
) -> list[dict[str, Any]]:
    """A record for each budget that a method can use."""
    method, laboratory = METHODS[name], Laboratory(blackbox, seed)
    trials = {budget: trials_within(method, budget, blackbox) for budget in budgets}
    most = method.most_trials or max(trials.values())
    trials = {budget: count for budget, count in trials.items() if 0 < count <= most}
    longest: list[Row] = []
    records = []
    for budget, count in sorted(trials.items(), reverse=True):
        if method.endless and PREFIX_FROM <= count < len(longest):
            rows = longest[:count]
        else:
            rows = _search(method, laboratory, count)
            longest = longest or rows
        best = confirmed_winner(laboratory, method.order(laboratory, rows))
        records.append(
            {
                "blackbox": blackbox.name,
                "method": name,
                "seed": seed,
                "budget": budget,
                "trials": len(rows),
                **judged_by_truth(laboratory, best),
            }
        )
    return records


def _search(method: Method, laboratory: Laboratory, trials: int) -> list[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return method.search(laboratory, trials)


def confirmed_winner(laboratory: Laboratory, vectors: Iterable[Counts]) -> Counts | None:
    """The winner of one round of confirmation; None where no vector keeps its bounds.

    The rules are those of `analysis.statistics.confirmed`: yes, no or undecided by the interval of
    the accuracy lost, the least leak among yes, the smallest network among those that leak alike.
    """
    config = laboratory.blackbox.config
    reach = float(stats.t.ppf(0.975, config.models - 1))
    entries: list[dict[str, Any]] = []
    for n in list(vectors)[: config.confirm_top]:
        found = laboratory.confirmed(n)
        kept = _kept(laboratory, n, found, reach)
        if kept == YES or (kept == UNDECIDED and reaches(found.lost, config.max_accuracy_drop)):
            entries.append(
                {"excess_gain": found.leak, "kept": kept, "nonzero": sum(n), "n": n, "found": found}
            )

    def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
        first, second = one["found"], other["found"]
        error = math.hypot(first.leak_se, second.leak_se)
        return bool(abs(first.leak - second.leak) <= reach * error)

    best = winner(entries, goal(laboratory.blackbox), alike)
    return None if best is None else best["n"]


def _kept(laboratory: Laboratory, n: Counts, found: Found, reach: float) -> str:
    config = laboratory.blackbox.config
    if not reaches(config.min_compression or 0.0, laboratory.compression(n)):
        return NO
    low, high = found.lost - reach * found.lost_se, found.lost + reach * found.lost_se
    return judged(low, high, config.max_accuracy_drop)


def judged_by_truth(laboratory: Laboratory, best: Counts | None) -> dict[str, Any]:
    """What is true of a winner; without one the dense network stays, which leaks as it did."""
    if best is None:
        return {
            "n": None,
            "leak": laboratory.blackbox.dense_leak,
            "lost": 0.0,
            "compression": 1.0,
            "found": False,
            "feasible": False,
        }
    truth = laboratory.truth(best)
    return {
        "n": list(best),
        "leak": truth.leak,
        "lost": truth.lost,
        "compression": laboratory.compression(best),
        "found": True,
        "feasible": reaches(truth.lost, laboratory.blackbox.config.max_accuracy_drop),
    }


# --- many of them ---------------------------------------------------------------------------------

_here: dict[str, Blackbox] = {}
"""The blackboxes of this process by name."""


def simulate(
    blackboxes: Sequence[Blackbox],
    *,
    seeds: int,
    workers: int = 1,
    budgets: Sequence[int] = BUDGETS,
    only: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per blackbox, method, seed and budget, in this order.

    only: names of methods; None takes all that are of interest for a network.
    """
    begin(blackboxes)
    tasks = [
        Task(blackbox=blackbox.name, method=name, seed=seed)
        for seed in range(seeds)
        for blackbox in blackboxes
        for name in methods_for(blackbox)
        if only is None or name in only
        if _takes(METHODS[name], blackbox, seed)
    ]
    if workers == 1:
        found = [record for task in tasks for record in run_task(task, budgets)]
    else:
        found = _in_parallel(blackboxes, tasks, budgets, workers)
    frame = pd.DataFrame(found)
    names = [blackbox.name for blackbox in blackboxes]
    order = {name: at for at, name in enumerate([*names, *METHODS])}
    return frame.sort_values(
        ["blackbox", "method", "seed", "budget"],
        key=lambda column: column.map(lambda value: order.get(value, value)),
        ignore_index=True,
    )


def _takes(method: Method, blackbox: Blackbox, seed: int) -> bool:
    few = len(blackbox.layer_weights) <= FEW_LAYERS
    return few or method.most_seeds is None or seed < method.most_seeds


def begin(blackboxes: Sequence[Blackbox]) -> None:
    """Make blackboxes known to this process."""
    _here.update({blackbox.name: blackbox for blackbox in blackboxes})


def run_task(task: Task, budgets: Sequence[int]) -> list[dict[str, Any]]:
    """The records of a task."""
    return simulated(_here[task.blackbox], task.method, task.seed, budgets)


def _in_parallel(
    blackboxes: Sequence[Blackbox], tasks: Sequence[Task], budgets: Sequence[int], workers: int
) -> list[dict[str, Any]]:
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=begin, initargs=(blackboxes,)
    )
    found: list[dict[str, Any]] = []
    with pool:
        futures = [pool.submit(run_task, task, budgets) for task in tasks]
        for done, future in enumerate(as_completed(futures), start=1):
            found += future.result()
            if done % 20 == 0:
                print(f"{done} of {len(tasks)} simulated searches", flush=True)
    return found
