"""What a run looks for follows from its settings."""

import pytest

from search.parser import parse
from trainables.outcome.objective import goal_of


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
