"""Whole recipes, one function per data set and network; models and data sets hold no defaults."""

import dataclasses
from collections.abc import Callable

from search.config import SearchConfig
from trainables.config import ADMMConfig, AttackConfig, InvalidInput, TrainingConfig


def mnist5k(model: str) -> SearchConfig:
    """The embedded data set on two CPU cores: 1,000 members, overfitted enough to leak."""
    return SearchConfig(
        dataset="mnist5k",
        model=model,
        min_compression=2.0,  # a winner that is hardly smaller would not be worth its pruning
        training=TrainingConfig(epochs=40, batch_size=32, learning_rate=1e-3),
        admm=ADMMConfig(
            iterations=3,
            epochs_per_iteration=3,
            rho=1e-2,
            learning_rate=6e-3,  # large steps under the penalty forget the members' details
            retrain_epochs=6,
            retrain_learning_rate=5e-4,
            weight_decay=0.5,
        ),
        attack=AttackConfig(),
    )


def mnist(model: str) -> SearchConfig:
    """All of MNIST: 23,333 members."""
    return SearchConfig(
        dataset="mnist",
        model=model,
        training=TrainingConfig(epochs=30, batch_size=128, learning_rate=2e-3),
        admm=ADMMConfig(
            iterations=5,
            epochs_per_iteration=2,
            rho=1e-2,
            learning_rate=3e-3,
            retrain_epochs=8,
            retrain_learning_rate=1e-3,
        ),
        attack=AttackConfig(),
    )


def cifar(dataset: str, model: str) -> SearchConfig:
    """CIFAR-10 or CIFAR-100 on a GPU: SGD with crops and flips, ADMM as Zhou et al. 2021 ran it."""
    return SearchConfig(
        dataset=dataset,
        model=model,
        space="cluster",
        training=TrainingConfig(
            epochs=100,
            batch_size=256,
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=5e-4,
            augment=True,
        ),
        admm=ADMMConfig(
            iterations=5,
            epochs_per_iteration=8,
            rho=1e-2,
            rho_growth=2.0,
            learning_rate=0.02,
            retrain_epochs=40,
            retrain_learning_rate=0.05,
            weight_decay=5e-4,
        ),
        attack=AttackConfig(),
    )


RECIPES: dict[str, Callable[[str], SearchConfig]] = {
    "mnist5k": mnist5k,
    "mnist": mnist,
    "cifar10": lambda model: cifar("cifar10", model),
    "cifar100": lambda model: cifar("cifar100", model),
}
"""Data set -> recipe for any of its networks."""


def recipe(dataset: str, model: str) -> SearchConfig:
    """The full-budget recipe of `dataset` with `model`."""
    if dataset not in RECIPES:
        raise InvalidInput(f"no recipe for data set {dataset!r}; there are {', '.join(RECIPES)}")
    return RECIPES[dataset](model)


def smoke(config: SearchConfig) -> SearchConfig:
    """The same path in a minute: every phase runs, no figure means anything."""
    return dataclasses.replace(
        config,
        trials=4,
        confirm_top=1,
        confirm_seeds=2,
        references=4,
        max_accuracy_drop=0.9,
        min_compression=None,
        training=dataclasses.replace(config.training, epochs=1),
        admm=dataclasses.replace(
            config.admm, iterations=1, epochs_per_iteration=1, retrain_epochs=1
        ),
        attack=dataclasses.replace(config.attack, folds=2, neural_epochs=1),
    )
