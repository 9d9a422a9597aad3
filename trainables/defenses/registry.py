"""Defences by name: what each may choose, and whether it prunes or trains anew."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One number of a defence: searched in [low, high], or fixed where both are equal."""

    low: float
    high: float
    log: bool = True
    integer: bool = False
    default: float
    """Tried first; what a parameter is fixed at that is not searched."""

    searched: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DefenseSpec:
    """One defence."""

    prunes: bool = False
    """Whether {n_i} is searched; otherwise every layer keeps its weights."""

    from_scratch: bool = False
    """Whether a candidate is trained from its initialisation instead of from the dense model."""

    parameters: dict[str, Parameter] = dataclasses.field(default_factory=dict)

    under_sgd: dict[str, Parameter] = dataclasses.field(default_factory=dict)
    """Instead of those of `parameters` where the recipe's optimiser is SGD."""

    epochs: Parameter | None = None
    """How long it trains, in multiples of the recipe's epochs; None for as long as the recipe."""

    bounds: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """Number -> the least and the largest value that mean anything; of epochs in multiples too."""

    def numbers(self, recipe_epochs: int, optimizer: str = "adam") -> dict[str, Parameter]:
        """All that may be chosen under a recipe of so many epochs, `epochs` counted in epochs.

        optimizer: of the recipe, adam | sgd.
        """
        chosen = {**self.parameters, **(self.under_sgd if optimizer == "sgd" else {})}
        if self.epochs is None:
            return chosen
        low, default, high = (
            max(1, round(share * recipe_epochs))
            for share in (self.epochs.low, self.epochs.default, self.epochs.high)
        )
        counted = dataclasses.replace(
            self.epochs, low=low, default=default, high=high, integer=True, searched=low < high
        )
        return {**chosen, "epochs": counted}

    def bounds_of(self, name: str, recipe_epochs: int) -> tuple[float, float]:
        """The least and the largest value that a number may be given."""
        low, high = self.bounds.get(name, (0.0, math.inf))
        return (low, high * recipe_epochs) if name == "epochs" else (low, high)


GAMMA = Parameter(low=0.05, high=20.0, default=1.0)
"""Weight of the attacker's gain in the classifier's loss (eq. 3)."""

INNER_STEPS = Parameter(low=1, high=20, integer=True, default=5, searched=False)
"""Steps of f_A for each step of the classifier (Algorithm 1, lines 3 to 7).

On mnist5k with LeNet-5 and gamma 3, two seeds, one step left excess gains of 0.053 and 0.037 nats
(validation accuracy 0.945, 0.913), two 0.033 and 0.041 (0.909, 0.942), five 0.018 and 0.020 (0.924,
0.900) at three times the time of one; standard errors 0.005 to 0.008."""

LEAST_EPSILON = 0.05
"""Of differential privacy: Renyi accounting at our orders certifies nothing below, at any noise."""

DEFENSES: dict[str, DefenseSpec] = {
    "none": DefenseSpec(from_scratch=True),
    "pruning": DefenseSpec(prunes=True),
    "minmax": DefenseSpec(
        from_scratch=True, parameters={"gamma": GAMMA, "inner_steps": INNER_STEPS}
    ),
    "pruning+minmax": DefenseSpec(
        prunes=True, parameters={"gamma": GAMMA, "inner_steps": INNER_STEPS}
    ),
    "dp": DefenseSpec(
        from_scratch=True,
        parameters={
            "epsilon": Parameter(low=0.5, high=5000.0, default=50.0),
            "clip": Parameter(low=0.1, high=10.0, default=1.0),
            "learning_rate": Parameter(low=3e-4, high=3e-2, default=2e-3),
            "batch_share": Parameter(low=0.02, high=0.5, default=0.1),
        },
        epochs=Parameter(low=0.25, high=2.0, default=1.0),
        bounds={"epsilon": (LEAST_EPSILON, math.inf), "batch_share": (0.0, 1.0)},
    ),
    "memguard": DefenseSpec(
        parameters={"distortion": Parameter(low=0.01, high=2.0, default=0.5)},
    ),
    "stacking": DefenseSpec(
        from_scratch=True,
        parameters={"meta_share": Parameter(low=0.1, high=0.5, log=False, default=0.25)},
        bounds={"meta_share": (0.0, 0.9)},
    ),
    "early-stopping": DefenseSpec(
        from_scratch=True,
        epochs=Parameter(low=0.02, high=1.0, default=0.5),
        bounds={"epochs": (0.0, 1.0)},
    ),
    "weight-decay": DefenseSpec(
        from_scratch=True,
        parameters={"weight_decay": Parameter(low=1e-2, high=20.0, default=1.0)},
        under_sgd={"weight_decay": Parameter(low=1e-4, high=1e-1, default=1e-3)},
    ),
}
"""`none` is the recipe itself, trained anew with every seed.

Weight decay is decoupled under adam (AdamW), where steps are of the size of the learning rate, and
an L2 penalty of the loss under sgd, where 1 would leave nothing but the penalty.
"""
