"""What is better: bounds to the whole image, and one rule for the search and for every reader."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.arguments import parse
from trainables.outcome import (
    Bounds,
    Goal,
    broken_bounds,
    goal_of,
    is_feasible,
    is_hopeless,
    keeps_bounds,
    state_of,
    violation,
)


@given(st.integers(100, 50_000), st.data())
def test_exactly_the_allowed_drop_is_feasible_and_one_image_more_is_not(images, data):
    """Oracle: whole images."""
    drop = data.draw(st.integers(1, images // 2))
    dense = data.draw(st.integers(drop + 1, images))
    bound = dense / images - drop / images
    assert violation(bound, (dense - drop) / images) <= 0
    assert violation(bound, (dense - drop + 1) / images) < 0
    assert violation(bound, (dense - drop - 1) / images) == pytest.approx(1 / images)


def test_what_is_not_a_number_is_not_feasible():
    assert not violation(math.nan, 0.9) <= 0


@pytest.mark.parametrize(
    ("accuracy", "compression", "kept"),
    [(-0.01, None, True), (0.0, 0.0, True), (0.01, -1.0, False), (-0.1, 0.5, False)],
)
def test_every_bound_that_there_is_must_be_met(accuracy, compression, kept):
    trial = {"accuracy_violation": accuracy, "compression_violation": compression}
    assert keeps_bounds(trial) == kept


@pytest.mark.parametrize(
    ("words", "objective"),
    [
        ("", "excess_gain"),
        ("--defense dp", "excess_gain"),
        ("--defense dp --epsilon 8", "val_accuracy"),
        ("--defense dp --set epsilon=1:8", "excess_gain"),
        ("--defense minmax", "excess_gain"),
    ],
)
def test_what_a_run_looks_for_follows_from_its_settings_as_they_are_stored(words, objective):
    config, _ = parse(words.split())
    goal = goal_of(config.to_dict())
    assert goal.objective == objective
    assert goal.maximised == (objective == "val_accuracy") == config.guarantee_is_fixed


def test_a_run_of_a_release_without_parameters_looked_for_the_least_leak():
    assert goal_of({"max_accuracy_drop": 0.01}).objective == "excess_gain"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 50), st.none() | st.floats(1, 50))
def test_columns_and_reports_judge_a_trial_alike(accuracy, bound, compression, least):
    bounds = Bounds(accuracy=bound, compression=least)
    columns = bounds.violations(accuracy, compression)
    assert bounds.are_kept(accuracy, compression) == keeps_bounds(columns)
    assert bounds.are_kept(accuracy, compression) != bool(broken_bounds(columns))
    feasible = {**columns, "finished": True}
    assert is_feasible(feasible) == bounds.are_kept(accuracy, compression)
    assert not is_feasible({**feasible, "finished": False})
    assert not is_feasible(feasible, "the machine is gone")


def test_what_is_not_known_breaks_no_bound_and_is_not_hopeless():
    unknown = Bounds(accuracy=0.9).violations(None, 4.0)
    assert unknown == {"accuracy_violation": None, "compression_violation": None}
    assert broken_bounds(unknown) == broken_bounds({"accuracy_violation": math.nan}) == []
    assert not is_hopeless(None, 0.9, 0.0)
    assert is_hopeless(0.8, 0.9, 0.05)


@pytest.mark.parametrize(
    ("result", "error", "state"),
    [
        ({"finished": True}, None, "COMPLETE"),
        ({"finished": False}, None, "PRUNED"),
        ({}, None, "PRUNED"),
        ({"finished": True, "trial_error": "loss is nan"}, None, "FAILED"),
        ({"finished": True}, "the machine is gone", "FAILED"),
    ],
)
def test_a_trial_ends_in_one_of_three_states(result, error, state):
    assert state_of(result, error) == state


LEAST, MOST = (
    goal_of({"max_accuracy_drop": 0.01}),
    Goal(objective="val_accuracy", maximised=True, units={"accuracy_violation": 0.01}),
)
FEASIBLE = [
    {"number": 0, "excess_gain": 0.03, "val_accuracy": 0.95},
    {"number": 1, "excess_gain": 0.01, "val_accuracy": 0.93},
    {"number": 2, "excess_gain": 0.01, "val_accuracy": 0.95},
    {"number": 3, "excess_gain": None, "val_accuracy": None},
    {"number": 4, "excess_gain": math.nan, "val_accuracy": math.nan},
]


@pytest.mark.parametrize(("goal", "order"), [(LEAST, [1, 2, 0, 3, 4]), (MOST, [0, 2, 1, 3, 4])])
def test_the_winner_is_the_first_of_the_order_and_both_follow_the_goal(goal, order):
    assert [row["number"] for row in goal.best_first(FEASIBLE[::-1])] == order
    assert goal.best(FEASIBLE)["number"] == order[0]
    assert goal.best([]) is None


def test_the_search_and_the_winner_agree_on_what_costs_less():
    judged = [MOST.judge({**row, "finished": True, "accuracy_violation": 0}) for row in FEASIBLE]
    costs = [one.cost for one in judged[:3]]
    assert min(range(3), key=costs.__getitem__) == MOST.best(FEASIBLE)["number"]
    assert [one.state for one in judged] == ["COMPLETE"] * 3 + ["PRUNED", "FAILED"]
