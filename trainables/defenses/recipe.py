"""The numbers of the pruning recipe that a search may choose beside {n_i}; imports nothing heavy.

At equal accuracy recipes differ in leak by a third, or in size by half. Epochs are not among them:
every candidate trains as long as the others, for more passes over the members leak more.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainables.config import ADMMConfig
from trainables.defenses.registry import Parameter


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """One number of the recipe."""

    field: str
    """Its name in ADMMConfig."""

    reach: float
    """It is searched from the preset's value divided by this to the value times this."""


RECIPE = {
    "rho": Number("rho", 10.0),
    "admm_learning_rate": Number("learning_rate", 4.0),
    "admm_weight_decay": Number("weight_decay", 10.0),
    "retrain_learning_rate": Number("retrain_learning_rate", 4.0),
}
"""The name for --set -> the number; weight decay is that of the W-step and of the retraining."""


RECIPES_PRUNER = "admm"
"""The pruner that obeys all of them."""


def recipe_numbers(admm: ADMMConfig) -> dict[str, Parameter]:
    """Each number of RECIPE, log-uniform around the preset's value; one that is zero stays so."""
    values = {name: float(getattr(admm, number.field)) for name, number in RECIPE.items()}
    return {
        name: Parameter(
            low=value / RECIPE[name].reach, high=value * RECIPE[name].reach, default=value
        )
        for name, value in values.items()
        if value > 0
    }


def with_chosen(admm: ADMMConfig, parameters: Mapping[str, float]) -> ADMMConfig:
    """The recipe with the numbers that a candidate has of its own.

    parameters: those of a trial; names that are not of the recipe are the defence's.
    """
    chosen: dict[str, Any] = {
        number.field: parameters[name] for name, number in RECIPE.items() if name in parameters
    }
    return dataclasses.replace(admm, **chosen) if chosen else admm
