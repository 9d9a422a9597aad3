"""The stopper: accuracy only, late in the retraining only."""

import pickle

import pytest

from search.tune.stopping import InfeasibleStopper
from trainables.base.errors import InvalidInput

HOPELESS = {"phase": "retrain", "progress": 0.5, "val_accuracy": 0.80, "accuracy_bound": 0.92}


def stops(**changes):
    return InfeasibleStopper()("trial", {**HOPELESS, **changes})


def test_a_trial_far_below_its_bound_late_in_the_retraining_is_stopped():
    assert stops()


@pytest.mark.parametrize(
    "hopeful",
    [
        {"phase": "admm"},
        {"phase": "dense"},
        {"progress": 0.49},
        {"val_accuracy": 0.90},
        {"val_accuracy": None},
        {"val_accuracy": float("nan")},
    ],
)
def test_a_trial_that_may_recover_goes_on(hopeful):
    assert not stops(**hopeful)


def test_slack_is_what_the_rest_of_the_retraining_may_win():
    just_below, at_the_edge = 0.92 - 0.03 - 1e-6, 0.92 - 0.03 + 1e-6
    assert stops(val_accuracy=just_below)
    assert not stops(val_accuracy=at_the_edge)


def test_the_loosest_of_several_bounds_decides():
    stopper = InfeasibleStopper(allowance=0.10)
    assert not stopper("trial", {**HOPELESS, "val_accuracy": 0.80})
    assert stopper("trial", {**HOPELESS, "val_accuracy": 0.92 - 0.10 - 0.03 - 1e-6})


@pytest.mark.parametrize("gain", [0.0, 1.3, None, float("nan")])
def test_the_gain_changes_nothing(gain):
    assert stops(excess_gain=gain)
    assert not stops(excess_gain=gain, val_accuracy=0.95)


def test_it_never_stops_everything_and_it_pickles():
    stopper = InfeasibleStopper(after=0.7, slack=0.01)
    assert pickle.loads(pickle.dumps(stopper)) == stopper
    assert not stopper.stop_all()


@pytest.mark.parametrize(
    "wrong", [{"after": -0.1}, {"after": 1.1}, {"slack": -1}, {"allowance": 2}]
)
def test_fractions_outside_zero_and_one_are_refused(wrong):
    with pytest.raises(InvalidInput, match=r"fraction in \[0, 1\]|fraction"):
        InfeasibleStopper(**wrong)
