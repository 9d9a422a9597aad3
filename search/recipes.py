"""Complete recipes, one function per data set; models and data sets hold no defaults."""

import dataclasses
from collections.abc import Callable

from search.search_options import SearchConfig
from trainables.base.errors import InvalidInput
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig
from trainables.data.registry import DATASETS
from trainables.models.registry import PUBLISHED


def mnist5k(model: str) -> SearchConfig:
    """The embedded data set on two CPU cores: 1,000 members, overfitted enough to leak."""
    return SearchConfig(
        dataset="mnist5k",
        model=model,
        min_compression=2.0,  # a winner that is hardly smaller would not be worth its pruning
        training=TrainingConfig(epochs=40, batch_size=32, learning_rate=1e-3),
        admm=ADMMConfig(
            iterations=2,
            epochs_per_iteration=3,
            rho=1e-2,
            learning_rate=8e-3,  # large steps under the penalty forget the members' details
            retrain_epochs=5,  # few, for they learn them again
            retrain_learning_rate=1.5e-3,
            weight_decay=0.8,
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


def fashion_mnist(model: str) -> SearchConfig:
    """A part of Fashion-MNIST on two CPU cores: 5,000 members, trained as mnist5k's are.

    With --limit 70000, all of it and 23,333 members, for a GPU.  A step of cnn4 costs 14 times one
    of LeNet-5, so that its default has fewer trials and models.
    """
    small = mnist5k(model)
    config = dataclasses.replace(
        small,
        dataset="fashion-mnist",
        limit=15_000,
        training=dataclasses.replace(small.training, epochs=25),
        admm=dataclasses.replace(
            small.admm,
            learning_rate=6e-3,
            weight_decay=0.5,
        ),
    )
    if model != "cnn4":
        return config
    return dataclasses.replace(config, trials=12, confirm_top=2, models=6)


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


def cifar10(model: str) -> SearchConfig:
    """CIFAR-10; the four-layer CNN of Table 2 has no batch norm and takes small steps of Adam."""
    config = cifar("cifar10", model)
    if model != "cnn4":
        return config
    return dataclasses.replace(
        config,
        training=TrainingConfig(epochs=60, batch_size=128, learning_rate=1e-3),
        admm=ADMMConfig(
            iterations=5,
            epochs_per_iteration=4,
            rho=1e-2,
            learning_rate=1e-3,
            retrain_epochs=20,
            retrain_learning_rate=5e-4,
        ),
    )


def imagenet(model: str) -> SearchConfig:
    """ImageNet from published weights, with fine-tuning budgets and few, expensive trials."""
    return SearchConfig(
        dataset="imagenet",
        model=model,
        pretrained=model in PUBLISHED,
        space="cluster",
        trials=12,
        confirm_top=2,
        models=6,
        training=TrainingConfig(
            epochs=10,
            batch_size=256,
            optimizer="sgd",
            learning_rate=0.01,
            weight_decay=1e-4,
            augment=True,
        ),
        admm=ADMMConfig(
            iterations=4,
            epochs_per_iteration=2,
            rho=1e-3,
            rho_growth=3.0,
            learning_rate=5e-3,
            retrain_epochs=8,
            retrain_learning_rate=1e-2,
            weight_decay=1e-4,
        ),
        attack=AttackConfig(),
    )


_RECIPES: dict[str, Callable[[str], SearchConfig]] = {
    "mnist5k": mnist5k,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": lambda model: cifar("cifar100", model),
    "imagenet": imagenet,
}


RECIPES: dict[str, Callable[[str], SearchConfig]] = {
    name: make for name, make in _RECIPES.items() if name in DATASETS
}
"""Each data set and the recipe for any of its networks."""


def own(dataset: str, model: str) -> SearchConfig:
    """The recipe of a data set that a user registered; by default mnist5k's, for small data."""
    config, spec = mnist5k(model), DATASETS[dataset]
    return dataclasses.replace(
        config,
        dataset=dataset,
        min_compression=None,
        training=spec.training or config.training,
        admm=spec.admm or config.admm,
    )


def recipe(dataset: str, model: str) -> SearchConfig:
    """The full-budget recipe for `dataset` with `model`."""
    if dataset in DATASETS.keys() - _RECIPES.keys():
        return own(dataset, model)
    if dataset not in RECIPES:
        raise InvalidInput(f"no recipe for data set {dataset!r}; there are {', '.join(RECIPES)}")
    return RECIPES[dataset](model)
