"""The searches that are compared, by name, each with the code that a real run uses.

A method hands vectors to a laboratory, one model each, and then says in which order it would have
them confirmed.  All count in trained models; see `simulate.py` for what a budget buys.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from ray.tune.search.optuna import OptunaSearch

from search.search_options import RACERS
from search.space import Counts, Params, Space
from search.stages.confirm import best_candidates, nearest_candidates
from search.stages.race import field
from search.stages.search import ANCHOR_SHARE
from search.tune.searcher import FeasibleSearcher
from tests.benchmarks.blackbox import Blackbox
from tests.benchmarks.laboratory import Laboratory
from trainables.base.seeding import derive_seed, numpy_generator
from trainables.config import FEWEST_MODELS
from trainables.outcome.feasible import VIOLATIONS, is_feasible
from trainables.outcome.objective import Goal, goal_of
from trainables.outcome.winner import raced_first
from trainables.records import COMPLETE, SEARCH

Row = dict[str, Any]
"""A trial as trials.parquet holds it, the columns that decide."""

FEW_LAYERS = 8
"""Up to so many, the tool searches each layer by default."""

PREFIX_FROM = 40
"""From so many trials on, a shorter search is the beginning of a longer one of the same seed: the
samplers' random start and the anchors no longer depend on the length."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One way to spend trained models."""

    search: Callable[[Laboratory, int], list[Row]]
    """(laboratory, trials) -> their rows, in order."""

    order: Callable[[Laboratory, list[Row]], list[Counts]]
    """Rows -> the vectors in the order of their confirmation."""

    models_for: Callable[[int], int] = lambda trials: trials
    """Trials -> the models that the search may take before the confirmation."""

    endless: bool = True
    """Whether a shorter search is the beginning of a longer one, from PREFIX_FROM trials on."""

    only_above: int = 0
    """It is of interest for networks of more layers than this."""

    most_trials: int | None = None
    """Beyond, the search itself would take hours."""

    most_seeds: int | None = None
    """Of a network of more than FEW_LAYERS layers, for the same reason."""


# --- what a trial gives ---------------------------------------------------------------------------


def goal(blackbox: Blackbox) -> Goal:
    """What a real run minimises, under its bounds."""
    return goal_of(blackbox.config.to_dict())


def space_of(blackbox: Blackbox, kind: str) -> Space:
    """The space that a real run searches."""
    return Space(
        kind=kind,
        layer_names=blackbox.layer_names,
        layer_weights=blackbox.layer_weights,
        minimum_keep=blackbox.config.minimum_keep,
    )


def as_row(number: int, kind: str, n: Sequence[int], result: dict[str, Any]) -> Row:
    return {
        **result,
        "number": number,
        "kind": kind,
        "state": COMPLETE,
        "n": tuple(n),
        "feasible": is_feasible(result),
    }


# --- searches -------------------------------------------------------------------------------------


def _with_our_searcher(
    laboratory: Laboratory, trials: int, *, sampler: str, kind: str = "layer", anchored: bool = True
) -> list[Row]:
    """FeasibleSearcher, as Tune would ask it, one trial after another."""
    space = space_of(laboratory.blackbox, kind)
    searcher = FeasibleSearcher(
        space=space,
        sampler_name=sampler,
        seed=laboratory.seed,
        n_trials=trials,
        anchors=anchors_for(laboratory, space, trials) if anchored else (),
        goals=[goal(laboratory.blackbox)],
    )
    rows = []
    for number in range(trials):
        suggestion = searcher.suggest(str(number))
        if not isinstance(suggestion, dict):
            break
        result = laboratory.trial(tuple(suggestion["n"]))
        searcher.on_trial_complete(str(number), result)
        rows.append(as_row(number, suggestion["kind"], suggestion["n"], result))
    return rows


def anchors_for(laboratory: Laboratory, space: Space, trials: int) -> list[Params]:
    """As `search.stages.search.anchor_vectors` takes them."""
    return space.anchors(laboratory.blackbox.anchors[: max(1, trials // ANCHOR_SHARE)])


def _with_optuna_search(laboratory: Laboratory, trials: int) -> list[Row]:
    """Ray's own OptunaSearch, which takes no constraints: violations are added to the leak."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = space_of(laboratory.blackbox, "layer")
    searcher = OptunaSearch(
        space=space.distributions(),
        metric="cost",
        mode="min",
        points_to_evaluate=anchors_for(laboratory, space, trials),
        seed=derive_seed(laboratory.seed, "optuna-search") % 2**32,
    )
    rows = []
    for number in range(trials):
        suggested = searcher.suggest(str(number))
        params = dict(_flat(suggested or {}))
        candidate = space.candidate(params)
        result = laboratory.trial(candidate.n)
        cost = penalised(laboratory.blackbox, result)
        searcher.on_trial_complete(str(number), {"cost": cost})
        rows.append({**as_row(number, SEARCH, candidate.n, result), "cost": cost})
    return rows


def _flat(nested: dict[str, Any]) -> list[tuple[str, float]]:
    """Names of parameters, which Tune takes apart at each `/`, put together again."""
    found = []
    for name, value in nested.items():
        inner = _flat(value) if isinstance(value, dict) else [("", value)]
        found += [(f"{name}/{rest}".rstrip("/"), number) for rest, number in inner]
    return found


def penalised(blackbox: Blackbox, result: dict[str, Any]) -> float:
    """Leak and violations in one number: one unit of violation costs the dense network's leak."""
    units = goal(blackbox).units
    beyond = sum(
        max(result[name] or 0.0, 0.0) / units[name] for name in VIOLATIONS if name in units
    )
    return float(result["excess_gain"]) + blackbox.dense_family * beyond


def _published(laboratory: Laboratory, trials: int) -> list[Row]:
    """Published allocations at evenly spread levels of each rule; the race measures them."""
    rules = laboratory.blackbox.published
    generator = numpy_generator(laboratory.seed, "levels")
    rows: list[Row] = []
    for at, vectors in enumerate(rules.values()):
        share = trials // len(rules) + (at < trials % len(rules))
        if not (vectors and share):
            continue
        positions = (np.arange(share) + generator.random()) * len(vectors) / share
        unique = dict.fromkeys(positions.astype(int).tolist())
        rows += [{"n": vectors[position]} for position in unique]
    return rows


# --- which vectors are confirmed ------------------------------------------------------------------


def _as_seen(laboratory: Laboratory, rows: list[Row]) -> list[Counts]:
    """What the search liked best, or, where nothing was feasible, the nearest to the bounds."""
    candidates = best_candidates(rows) or nearest_candidates(rows, goal(laboratory.blackbox))
    return [candidate.n for candidate in candidates]


def _after_race(laboratory: Laboratory, rows: list[Row]) -> list[Counts]:
    """The race of `search/stages/race.py` over the field that it would choose."""
    config = laboratory.blackbox.config
    racers = field(rows, goal(laboratory.blackbox))
    if len(racers) <= config.confirm_top:
        return _as_seen(laboratory, rows)
    return _raced(laboratory, [candidate.n for candidate in racers])


def _raced(laboratory: Laboratory, vectors: Sequence[Counts]) -> list[Counts]:
    entries: list[Row] = []
    for n in vectors:
        found = laboratory.race(n)
        shown = {"excess_gain": found.leak, "lost": found.lost, "lost_se": found.lost_se}
        entries.append({"n": n, **shown})
    return [
        entry["n"] for entry in raced_first(entries, laboratory.blackbox.config.max_accuracy_drop)
    ]


def _all_raced(laboratory: Laboratory, rows: list[Row]) -> list[Counts]:
    """All that are small enough, four models each."""
    least = laboratory.blackbox.config.min_compression or 1.0
    vectors = dict.fromkeys(row["n"] for row in rows)
    return _raced(laboratory, [n for n in vectors if laboratory.compression(n) >= least])


def _by_cost(_laboratory: Laboratory, rows: list[Row]) -> list[Counts]:
    return list(dict.fromkeys(row["n"] for row in sorted(rows, key=lambda row: row["cost"])))


# --- the registry ---------------------------------------------------------------------------------


def _ours(sampler: str, kind: str = "layer", *, anchored: bool = True) -> Callable[..., list[Row]]:
    return functools.partial(_with_our_searcher, sampler=sampler, kind=kind, anchored=anchored)


def _with_race(trials: int) -> int:
    return trials + FEWEST_MODELS * min(RACERS, trials)


def _four_each(trials: int) -> int:
    return FEWEST_MODELS * trials


RACE, GRID, PUBLISHED_BEST = "race", "grid, per layer", "published"

METHODS: dict[str, Method] = {
    RACE: Method(search=_ours("tpe"), order=_after_race, models_for=_with_race),
    "race, clusters": Method(
        search=_ours("tpe", "cluster"),
        order=_after_race,
        models_for=_with_race,
        only_above=FEW_LAYERS,
    ),
    "flat TPE": Method(search=_ours("tpe"), order=_as_seen),
    "flat TPE, no anchors": Method(search=_ours("tpe", anchored=False), order=_as_seen),
    "grid, uniform": Method(
        search=_ours("grid", "global", anchored=False), order=_as_seen, endless=False
    ),
    GRID: Method(search=_ours("grid", anchored=False), order=_as_seen, endless=False),
    "random": Method(search=_ours("random"), order=_as_seen),
    "QMC": Method(search=_ours("qmc"), order=_as_seen),
    "GP": Method(search=_ours("gp"), order=_as_seen, most_trials=152, most_seeds=5),
    "NSGA-II": Method(search=_ours("nsga2"), order=_as_seen, endless=False),
    "OptunaSearch": Method(search=_with_optuna_search, order=_by_cost),
    PUBLISHED_BEST: Method(
        search=_published, order=_all_raced, models_for=_four_each, endless=False
    ),
}
"""Name -> method. `race` and `flat TPE` are this tool with and without --no-race; `grid` is
Algorithm 1 with one level for all layers, or with a full factorial in random order; `published` is
the best of uniform, uniform+, ERK and LAMP at as many levels as the budget allows."""


def methods_for(blackbox: Blackbox) -> dict[str, Method]:
    """Those that are of interest for this network."""
    layers = len(blackbox.layer_weights)
    return {name: method for name, method in METHODS.items() if layers > method.only_above}
