"""One rule says what is better, for the search and for every reader."""

import math

import pytest

from trainables.outcome.objective import Goal, goal_of
from trainables.outcome.winner import best_first, nearest_first, raced_first, winner

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
    assert [row["number"] for row in best_first(FEASIBLE[::-1], goal)] == order
    assert winner(FEASIBLE, goal)["number"] == order[0]
    assert winner([], goal) is None


KEPT = [
    {"number": 0, "excess_gain": 0.010, "val_accuracy": 0.94, "nonzero": 9, "kept": "undecided"},
    {"number": 1, "excess_gain": 0.020, "val_accuracy": 0.93, "nonzero": 9, "kept": "yes"},
    {"number": 2, "excess_gain": 0.021, "val_accuracy": 0.95, "nonzero": 5, "kept": "yes"},
    {"number": 3, "excess_gain": 0.030, "val_accuracy": 0.95, "nonzero": 2, "kept": "yes"},
]


def alike(one, other):
    return abs(one["excess_gain"] - other["excess_gain"]) < 0.005


def test_what_surely_keeps_its_bounds_wins_and_of_what_leaks_alike_the_smallest():
    assert winner(KEPT, LEAST)["number"] == 1
    assert winner(KEPT, LEAST, alike)["number"] == 2
    assert winner(KEPT[:1], LEAST, alike)["number"] == 0, "undecided is better than nothing"
    assert winner(KEPT, MOST, alike)["number"] == 2, "where accuracy is asked for, it decides"
    assert winner([KEPT[3], KEPT[1]], LEAST, alike)["number"] == 1


def test_the_search_and_the_winner_agree_on_what_costs_less():
    judged = [MOST.judge({**row, "finished": True, "accuracy_violation": 0}) for row in FEASIBLE]
    costs = [one.cost for one in judged[:3]]
    assert min(range(3), key=costs.__getitem__) == winner(FEASIBLE, MOST)["number"]
    assert [one.state for one in judged] == ["COMPLETE"] * 3 + ["PRUNED", "FAILED"]


def test_the_nearest_is_the_least_beyond_its_bounds_and_what_is_unknown_is_left_out():
    goal = Goal(units={"accuracy_violation": 0.01, "compression_violation": 0.2})
    rows = [
        {"number": 0, "accuracy_violation": 0.03, "compression_violation": -1.0},
        {"number": 1, "accuracy_violation": -0.5, "compression_violation": 0.4},
        {"number": 2, "accuracy_violation": None, "compression_violation": 0.0},
        {"number": 3, "accuracy_violation": 0.02, "compression_violation": 0.0},
    ]
    assert [row["number"] for row in nearest_first(rows, goal)] == [1, 3, 0]


def test_sure_and_bold_vectors_of_a_race_take_turns_and_those_beyond_the_bound_come_last() -> None:
    rows = [
        {"name": name, "excess_gain": excess, "lost": lost, "lost_se": 0.004}
        for name, excess, lost in (
            ("beyond", 0.00, 0.02),
            ("nearly", 0.01, 0.011),
            ("bold", 0.02, 0.009),
            ("bolder", 0.03, 0.010),
            ("sure", 0.04, 0.006),
            ("surest", 0.05, -0.001),
            ("leaky", 0.06, 0.0),
        )
    ]
    order = [row["name"] for row in raced_first(rows, 0.01)]
    assert order == ["sure", "bold", "surest", "bolder", "leaky", "nearly", "beyond"]
