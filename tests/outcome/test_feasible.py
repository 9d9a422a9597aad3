"""Bounds are kept to the whole image, and columns and reports judge a trial alike."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.outcome.feasible import (
    Bounds,
    broken_bounds,
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
