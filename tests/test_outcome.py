"""What is better: bounds to the whole image, and one rule for the search and for every reader."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.arguments import parse
from trainables.outcome import goal_of, keeps_bounds, violation


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
