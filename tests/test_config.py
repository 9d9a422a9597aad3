"""Settings refuse what cannot be used, survive JSON, and hash to a key that never drifts."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig, config_hash

TRAINING = {"epochs": 3, "batch_size": 50}
ADMM = {"iterations": 2, "epochs_per_iteration": 1, "rho": 0.01, "retrain_epochs": 4}


def trial(**changes: object) -> TrialConfig:
    config = TrialConfig(
        kind="search",
        number=7,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=(40, 600, 9000, 2000, 300),
        training=TrainingConfig(**TRAINING),
        admm=ADMMConfig(**ADMM),
        attack=AttackConfig(),
    )
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        (TrainingConfig, "epochs", 0, "training epochs must be at least 1, got 0"),
        (TrainingConfig, "batch_size", 0, "batch size must be at least 1, got 0"),
        (TrainingConfig, "optimizer", "adamw", "optimizer must be adam or sgd, got 'adamw'"),
        (TrainingConfig, "learning_rate", 0.0, "learning rate must be > 0, got 0.0"),
        (TrainingConfig, "learning_rate", float("nan"), "learning rate must be > 0, got nan"),
        (TrainingConfig, "weight_decay", -0.1, "weight decay must be >= 0, got -0.1"),
        (ADMMConfig, "iterations", 0, "ADMM iterations must be at least 1, got 0"),
        (ADMMConfig, "epochs_per_iteration", 0, "epochs per ADMM iteration must be at least 1"),
        (ADMMConfig, "rho", 0.0, "ADMM penalty rho must be > 0, got 0.0"),
        (ADMMConfig, "rho_growth", -1.0, "rho growth must be > 0, got -1.0"),
        (ADMMConfig, "retrain_epochs", 0, "retraining epochs must be at least 1, got 0"),
        (ADMMConfig, "learning_rate", -1e-3, "learning rate must be > 0, got -0.001"),
        (ADMMConfig, "retrain_learning_rate", 0.0, "learning rate must be > 0, got 0.0"),
        (ADMMConfig, "weight_decay", -1.0, "weight decay must be >= 0, got -1.0"),
        (AttackConfig, "folds", 1, "attack folds must be at least 2, got 1"),
        (AttackConfig, "neural_epochs", 0, "epochs of the neural attack must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_value(kind, field, value, message) -> None:
    good = {TrainingConfig: TRAINING, ADMMConfig: ADMM, AttackConfig: {}}[kind]
    with pytest.raises(InvalidInput) as caught:
        kind(**{**good, field: value})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_smallest_settings_are_accepted() -> None:
    TrainingConfig(epochs=1, batch_size=1, weight_decay=0.0)
    ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-12, retrain_epochs=1)
    AttackConfig(folds=2, neural_epochs=1)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"n": ()},
        {
            "training": TrainingConfig(
                epochs=1,
                batch_size=2,
                optimizer="sgd",
                learning_rate=0.1,
                weight_decay=5e-4,
                augment=True,
            )
        },
    ],
)
def test_a_trial_survives_json(changed) -> None:
    config = trial(**changed)
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_rebuilding_checks_the_settings_and_leaves_the_dictionary_alone() -> None:
    values = trial().to_dict()
    before = json.dumps(values)
    TrialConfig.from_dict(values)
    assert json.dumps(values) == before
    values["admm"]["rho"] = 0
    with pytest.raises(InvalidInput, match="rho"):
        TrialConfig.from_dict(values)


def test_a_trial_is_named_by_kind_and_number() -> None:
    assert trial().trial_id == "search-0007"
    assert trial(kind="confirm", number=12345).trial_id == "confirm-12345"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        trial().seed = 2


def test_the_key_of_a_trial_never_drifts() -> None:
    assert config_hash(trial().to_dict()) == "83ac99117c9b53a6"


def test_the_key_does_not_depend_on_the_order_of_the_values() -> None:
    values = trial().to_dict()
    assert config_hash(dict(reversed(values.items()))) == config_hash(values)


def leaves(values: dict[str, object], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        leaf
        for key, value in values.items()
        for leaf in (leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)])
    ]


@pytest.mark.parametrize("path", leaves(trial().to_dict()), ids="/".join)
def test_every_setting_changes_the_key_defaults_included(path) -> None:
    values = json.loads(json.dumps(trial().to_dict()))
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "something else"
    assert config_hash(values) != config_hash(trial().to_dict())


@given(value=st.sampled_from([float("nan"), float("inf"), -float("inf")]))
def test_values_that_json_does_not_know_have_no_key(value) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        config_hash({"value": value})
