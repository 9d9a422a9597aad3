"""Which candidates are measured again: the feasible ones by the run's goal, else the nearest."""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest

from search import pipeline
from search.parser import parse
from search.space import Candidate
from search.stages import confirm as stage
from search.stages.confirm import (
    after_the_rounds,
    best_candidates,
    nearest_candidates,
    rounds,
)
from search.stages.search import base_job
from trainables.config import TrialConfig
from trainables.outcome.objective import goal_of


def config(words: str = "") -> Any:
    return parse(words.split())[0]


def row(number: int, state: str = "COMPLETE", **changes: Any) -> dict[str, Any]:
    """One searched trial whose vector is its number; feasible unless said otherwise."""
    values = {
        "kind": "search",
        "number": number,
        "state": state,
        "n": [number],
        "defense_parameters": {},
        "val_accuracy": 0.93,
        "excess_gain": 0.02,
        "accuracy_violation": -0.01,
        "compression_violation": -1.0,
        **changes,
    }
    bounds = [values["accuracy_violation"], values["compression_violation"]]
    fits = state == "COMPLETE" and all(bound is None or bound <= 0 for bound in bounds)
    return {**values, "feasible": fits}


def numbers(candidates: list[Candidate]) -> list[int]:
    return [candidate.n[0] for candidate in candidates]


ROWS = [
    row(0, excess_gain=0.05, val_accuracy=0.95),
    row(1, excess_gain=0.01, val_accuracy=0.92),
    row(2, excess_gain=0.03, val_accuracy=0.96),
    row(3, excess_gain=0.00, val_accuracy=0.99, accuracy_violation=0.001),
    row(4, "PRUNED"),
    row(5, kind="confirm", excess_gain=0.0),
]


def test_the_least_leak_comes_first() -> None:
    assert numbers(best_candidates(ROWS)) == [1, 2, 0]
    assert numbers(best_candidates(ROWS, goal_of(config().to_dict()))) == [1, 2, 0]


def test_at_a_given_epsilon_the_most_accurate_comes_first() -> None:
    goal = goal_of(config("--defense dp --epsilon 8").to_dict())
    assert numbers(best_candidates(ROWS, goal)) == [2, 0, 1]
    assert numbers(best_candidates(ROWS, goal_of(config("--defense dp").to_dict()))) == [1, 2, 0]


MISSED = [
    row(0, accuracy_violation=0.03, excess_gain=0.0),  # three allowed drops
    row(1, accuracy_violation=0.01, compression_violation=0.1),  # one, and half a tenth of 2
    row(2, accuracy_violation=-0.5, compression_violation=0.2),  # one tenth of 2; no credit
    row(3, accuracy_violation=0.02),
    row(4, "PRUNED", accuracy_violation=0.001),
    row(5, "FAILED", accuracy_violation=None, compression_violation=None),
]


def test_without_a_feasible_trial_the_nearest_to_the_bounds_come_first() -> None:
    assert best_candidates(MISSED) == []
    assert numbers(nearest_candidates(MISSED, goal_of(config().to_dict()))) == [2, 1, 3, 0]


def test_stopped_trials_are_taken_where_none_had_its_full_budget_and_failed_ones_never() -> None:
    stopped = [
        row(0, "PRUNED", accuracy_violation=0.2),
        row(1, "PRUNED", accuracy_violation=0.1),
        row(2, "PRUNED", accuracy_violation=None),
        row(3, "FAILED", accuracy_violation=0.0),
    ]
    assert numbers(nearest_candidates(stopped, goal_of(config().to_dict()))) == [1, 0]
    assert nearest_candidates(stopped[3:], goal_of(config().to_dict())) == []


def test_the_nearest_cost_no_more_than_a_confirmation() -> None:
    said: list[str] = []
    context: Any = SimpleNamespace(
        config=config("--confirm-top 2 --no-race"),
        ledger=SimpleNamespace(rows=lambda: MISSED),
        say=said.append,
    )
    dense: Any = SimpleNamespace(val_accuracy=0.93)
    nothing: Any = None
    orders = pipeline._to_confirm(context, dense, nothing)
    assert {level: numbers(order) for level, order in orders.items()} == {0.01: [2, 1]}
    assert len(said) == 1
    context.ledger = SimpleNamespace(rows=lambda: ROWS)
    orders = pipeline._to_confirm(context, dense, nothing)
    assert {level: numbers(order) for level, order in orders.items()} == {0.01: [1, 2, 0]}
    assert len(said) == 1


@pytest.mark.parametrize(
    ("words", "fits"), [("--defense none", True), ("--defense stacking", False), ("", False)]
)
def test_what_the_others_are_compared_with_is_feasible_at_any_accuracy(
    words: str, fits: bool
) -> None:
    settings = config(words)

    def trial(kind: str, number: int, seed: int, n: tuple[int, ...], defense: str) -> TrialConfig:
        return TrialConfig(
            kind=kind,
            number=number,
            run_seed=0,
            seed=seed,
            dataset="mnist5k",
            model="lenet5",
            n=n,
            defense=defense,
            training=settings.training,
            admm=settings.admm,
            attack=settings.attack,
        )

    context: Any = SimpleNamespace(
        config=settings, inputs=SimpleNamespace(layers={"fc": 10}), trial=trial
    )
    dense: Any = SimpleNamespace(val_accuracy=0.93)
    job = dataclasses.replace(base_job(context, dense), compression_bound=None)
    missed = job.bounds.violations(0.05, 1.0)["accuracy_violation"]
    assert missed is not None
    assert (missed <= 0) == fits
    assert not math.isnan(missed)


def test_without_a_race_each_level_has_the_candidates_that_keep_it() -> None:
    context: Any = SimpleNamespace(
        config=config("--no-race --levels 0,0.03"),
        ledger=SimpleNamespace(
            rows=lambda: [*ROWS, row(6, excess_gain=0.0, accuracy_violation=0.02)]
        ),
    )
    nothing: Any = None
    dense: Any = SimpleNamespace(val_accuracy=0.93)
    orders = pipeline._to_confirm(context, dense, nothing)
    assert {level: numbers(order) for level, order in orders.items()} == {
        0.01: [1, 2, 0],
        0.0: [1, 2, 0],
        0.03: [3, 6, 1, 2, 0],
    }


def of(*numbers: int) -> list[Candidate]:
    return [Candidate.of([number], None) for number in numbers]


def test_the_best_of_every_level_joins_the_first_round_and_nothing_is_confirmed_twice() -> None:
    asked = config("--confirm-top 2 --levels 0,0.02,0.03,0.05")
    orders = {
        0.01: of(1, 2, 3, 4, 5, 6, 7),
        0.0: of(2, 1),
        0.02: of(4, 1),
        0.03: of(4, 2),
        0.05: of(9),
    }
    assert rounds(orders, asked) == [(0, of(1, 2, 4, 9)), (6, of(3, 5)), (8, of(6, 7))]
    assert after_the_rounds(asked) == 10
    alone = config("--confirm-top 2")
    assert rounds({0.01: of(*range(7))}, alone) == [(0, of(0, 1)), (2, of(2, 3)), (4, of(4, 5))]
    assert after_the_rounds(alone) == 6
    assert rounds({0.01: []}, alone) == []


@pytest.mark.parametrize(
    ("begun", "wins_after", "measured"),
    [
        ((), 0, [0]),
        ((), 2, [0, 2]),
        ((), 9, [0, 2, 4]),
        ((0, 1), 0, [0]),
        ((0, 1, 3), 0, [0, 2]),  # a resume gives every vector as many models, whoever wins
        ((0, 1, 2, 3, 6), 0, [0, 2]),  # 6 is a comparator
    ],
)
def test_a_resumed_run_goes_through_the_rounds_that_it_had_begun(
    monkeypatch: pytest.MonkeyPatch, begun: tuple[int, ...], wins_after: int, measured: list[int]
) -> None:
    firsts: list[int] = []
    monkeypatch.setattr(stage, "measure", lambda _, __, first, ___: firsts.append(first) or {})
    confirmation: Any = SimpleNamespace(config=config("--confirm-top 2"), say=lambda _: None)
    orders = {0.01: of(*range(7))}
    stage.confirm(confirmation, orders, frozenset(begun), lambda: firsts[-1] >= wins_after)
    assert firsts == measured
