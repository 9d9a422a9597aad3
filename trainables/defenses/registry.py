"""Defences by name: what each may choose, how a candidate is made, what it costs, what it leaves.

A new defence is its own file in trainables/runs/ and its entry here; all else asks the entry.
This module imports nothing heavy, so that command lines and reports may read it.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping


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


FORWARD_PASSES = 3
"""A training step costs about three forward passes: forward, and two products backward."""

Cost = Callable[[float, Mapping[str, float]], float]
"""(passes of the recipe, or of the pruner; the defence's numbers) -> passes of one candidate."""


def _whole_recipe(passes: float, _numbers: Mapping[str, float]) -> float:
    return passes


def _own_epochs(_passes: float, numbers: Mapping[str, float]) -> float:
    return numbers["epochs"]


def _no_training(_passes: float, _numbers: Mapping[str, float]) -> float:
    """Only a filter is put before the dense model."""
    return 0.0


def _two_halves(passes: float, numbers: Mapping[str, float]) -> float:
    """Two networks, each on half of what is not left to the joint."""
    return passes * (1 - numbers["meta_share"])


def _with_adversary(passes: float, numbers: Mapping[str, float]) -> float:
    """The attacker sees as many members and others, forward only, at each of its steps."""
    return passes * (1 + 2 * numbers["inner_steps"] / FORWARD_PASSES)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Defense:
    """One defence, as a whole: callers ask it and know no names."""

    builder: str
    """`module:function` with the signature of trainables.runs.start.Builder; makes a candidate."""

    cost: Cost = _whole_recipe
    """Training passes over the members that make one candidate.

    A pass over a share of the members, or a forward pass beside, counts as its part."""

    is_bare: bool = False
    """Whether nothing defends: the recipe itself, which the others are compared with."""

    is_rival: bool = False
    """Whether a comparison says of this defence if it leaks less than pruning."""

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
    """Number -> the least and the largest value that mean anything; `epochs` in multiples too."""

    network: str = ""
    """The submodule that is one network where the model holds more; "" is the model itself."""

    guarantee: str | None = None
    """The number that is a proven bound on privacy; where it is given, accuracy is left to tune."""

    rehearsal: str | None = None
    """`module:function` that raises InvalidInput where a network breaks what the proof rests on.

    It takes the run, and images and labels of members."""

    proof: str = "They prove no privacy and give no differential-privacy guarantee"
    """What the figures prove, for the card; it may name what was spent, in braces."""

    on_copies: str | None = None
    """What holds where {a}, one of the records, occurs up to {most} times among the members."""

    on_weights: str | None = None
    """What holds for whoever has the weights, where these alone are not the defended model."""

    def proof_in_words(self, spent: Mapping[str, float]) -> str:
        """What the figures prove, with what a winner spent; a number that is missing is nan."""
        return self.proof.format_map(collections.defaultdict(lambda: math.nan, spent))

    def numbers(self, recipe_epochs: int, optimizer: str = "adam") -> dict[str, Parameter]:
        """All that may be chosen under a recipe of so many epochs, `epochs` counted in epochs.

        optimizer: the recipe's, adam | sgd.
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
"""Renyi accounting at our orders certifies no smaller epsilon, at any noise."""

DEFENSES: dict[str, Defense] = {
    "none": Defense(
        builder="trainables.runs.dense:trained_anew",
        from_scratch=True,
        is_bare=True,
    ),
    "pruning": Defense(
        builder="trainables.runs.pruning:pruned",
        prunes=True,
    ),
    "minmax": Defense(
        builder="trainables.runs.minmax:trained_against",
        cost=_with_adversary,
        is_rival=True,
        from_scratch=True,
        parameters={"gamma": GAMMA, "inner_steps": INNER_STEPS},
    ),
    "pruning+minmax": Defense(
        builder="trainables.runs.minmax:pruned_against",
        cost=_with_adversary,
        prunes=True,
        parameters={"gamma": GAMMA, "inner_steps": INNER_STEPS},
    ),
    "dp": Defense(
        builder="trainables.runs.dp:private",
        cost=_own_epochs,
        is_rival=True,
        from_scratch=True,
        parameters={
            "epsilon": Parameter(low=0.5, high=5000.0, default=50.0),
            "clip": Parameter(low=0.1, high=10.0, default=1.0),
            "learning_rate": Parameter(low=3e-4, high=3e-2, default=2e-3),
            "batch_share": Parameter(low=0.02, high=0.5, default=0.1),
        },
        epochs=Parameter(low=0.25, high=2.0, default=1.0),
        bounds={"epsilon": (LEAST_EPSILON, math.inf), "batch_share": (0.0, 1.0)},
        guarantee="epsilon",
        rehearsal="trainables.runs.dp:require_bounded_sensitivity",
        proof="The guarantee is that of one training, epsilon {epsilon:.3g} at delta {delta:.1g}, "
        "by a pseudorandom generator; the search looked at the members too, which is not counted "
        "in it",
        on_copies="Differential privacy counts each copy for itself: the reported epsilon does not "
        "hold for {a} that occurs up to {most} times among the members, whose own is far "
        "larger at this delta (--duplicates drop keeps one copy)",
    ),
    "memguard": Defense(
        builder="trainables.runs.memguard:guarded",
        cost=_no_training,
        parameters={"distortion": Parameter(low=0.01, high=2.0, default=0.5)},
        on_weights="MemGuard protects outputs, not weights: the weights beside this card are those "
        "of the undefended network and must stay behind a service that changes what it answers.",
    ),
    "stacking": Defense(
        builder="trainables.runs.stacking:stacked",
        cost=_two_halves,
        from_scratch=True,
        parameters={"meta_share": Parameter(low=0.1, high=0.5, log=False, default=0.25)},
        bounds={"meta_share": (0.0, 0.9)},
        network="first",
    ),
    "early-stopping": Defense(
        builder="trainables.runs.dense:stopped_early",
        cost=_own_epochs,
        from_scratch=True,
        epochs=Parameter(low=0.02, high=1.0, default=0.5),
        bounds={"epochs": (0.0, 1.0)},
    ),
    "weight-decay": Defense(
        builder="trainables.runs.dense:decayed",
        from_scratch=True,
        parameters={"weight_decay": Parameter(low=1e-2, high=20.0, default=1.0)},
        under_sgd={"weight_decay": Parameter(low=1e-4, high=1e-1, default=1e-3)},
    ),
}
"""`none` is the recipe itself, trained anew with every seed.

Weight decay is decoupled under adam (AdamW), where steps are of the size of the learning rate, and
an L2 penalty of the loss under sgd, where 1 would leave nothing but the penalty.
"""

_UNKNOWN = Defense(builder="")


def named(name: str | None) -> Defense:
    """The entry that a stored run names; one without any property where this release has none."""
    return DEFENSES.get(name or "", _UNKNOWN)
