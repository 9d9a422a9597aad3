"""The frozen settings that decide a trial's result."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from trainables.base.errors import InvalidInput, one_line

Settings = TypeVar("Settings")

MOST_EXACT = 2**53
"""The limit below which every reader of JSON and every float holds whole numbers exactly."""


FEWEST_MODELS = 4
"""The fewest models of a vector, two complementary pairs: one pair does not show the luck of
training."""

TARGETS_PAIR = 2
"""Models 0 and 1 of a vector: the one that ships, trained on D, and its complement, trained on D'.
The complement is never a reference of the first: the references outside an image would then be one
more exactly where it is a member."""


def rebuilt(kind: type[Settings], values: object) -> Settings:
    """Rebuild a dataclass of settings, and those nested in it, from plain JSON types.

    Raises InvalidInput when a value is missing, unknown or of another type: the file may have been
    edited or damaged.
    """
    if not isinstance(values, Mapping):
        raise _unfit(f"{kind.__name__} is {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise _unfit(f"{kind.__name__} has no {unknown[0]!r}")
    found = {name: _fitting(hints[name], value, name) for name, value in values.items()}
    try:
        return kind(**found)
    except TypeError as error:  # a field without a default is missing
        raise _unfit(str(error)) from error


def _unfit(what: str) -> "InvalidInput":
    return InvalidInput(
        f"the run's settings do not fit this version: {one_line(what)[:200]}; restore config.json "
        "or start a new run"
    )


def _fitting(hint: Any, value: object, name: str) -> Any:  # noqa: ANN401 - of the type that `hint` names
    if dataclasses.is_dataclass(hint):
        return rebuilt(typing.cast("type[Any]", hint), value)
    if typing.get_origin(hint) is dict and isinstance(value, dict):
        return {key: _fitting(typing.get_args(hint)[1], item, key) for key, item in value.items()}
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_fitting(typing.get_args(hint)[0], item, name) for item in value)
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(value) in allowed or (float in allowed and type(value) is int):
        if not isinstance(value, int | float) or (math.isfinite(value) and abs(value) < MOST_EXACT):
            return value
        raise _unfit(f"{name} is out of range")
    raise _unfit(f"{name} is {value!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How the dense model is trained: on members only, without label smoothing, which leaks."""

    epochs: int
    """The number of passes over the members."""

    batch_size: int
    """The number of images per step."""

    optimizer: str = "adam"
    """Either adam or sgd (with Nesterov momentum 0.9)."""

    learning_rate: float = 1e-3
    """The rate at the start; it follows a cosine to zero over the epochs."""

    weight_decay: float = 0.0
    """Decoupled for adam (AdamW), L2 for sgd; it acts on the prunable weights only."""

    augment: bool = False
    """Whether to crop and flip images at random on the device; fixed per run: it changes gains."""

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"training epochs must be at least 1, got {self.epochs}")
        _require(self.batch_size >= 1, f"batch size must be at least 1, got {self.batch_size}")
        _require(
            self.optimizer in ("adam", "sgd"),
            f"optimizer must be adam or sgd, got {self.optimizer!r}",
        )
        _require(self.learning_rate > 0, f"learning rate must be > 0, got {self.learning_rate}")
        _require(self.weight_decay >= 0, f"weight decay must be >= 0, got {self.weight_decay}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ADMMConfig:
    """How a trial prunes. All candidates of a run share this but for the numbers that are searched.

    They train equally long, or their gains would not be comparable.
    """

    iterations: int
    """The number of times that Z and U are updated."""

    epochs_per_iteration: int
    """The passes over the members in each W-step, between two updates of Z and U."""

    rho: float
    """The penalty in (rho / 2) ||W - Z + U||^2 during the first iteration."""

    rho_growth: float = 1.0
    """The factor on rho after each iteration; U is rescaled by its inverse."""

    learning_rate: float = 1e-3
    """The rate of the W-step, reset at each iteration as in Zhang et al. 2018."""

    retrain_epochs: int
    """The passes over the members after the hard prune, with fixed masks."""

    retrain_learning_rate: float = 1e-3
    """The rate at the start of the masked retraining; it follows a cosine to zero."""

    weight_decay: float = 0.0
    """Weight decay as in TrainingConfig, for the W-step and the retraining."""

    def __post_init__(self) -> None:
        _require(self.iterations >= 1, f"ADMM iterations must be at least 1, got {self.iterations}")
        _require(
            self.epochs_per_iteration >= 1,
            f"epochs per ADMM iteration must be at least 1, got {self.epochs_per_iteration}",
        )
        _require(self.rho > 0, f"ADMM penalty rho must be > 0, got {self.rho}")
        _require(self.rho_growth > 0, f"rho growth must be > 0, got {self.rho_growth}")
        _require(
            self.retrain_epochs >= 1,
            f"retraining epochs must be at least 1, got {self.retrain_epochs}",
        )
        for rate in (self.learning_rate, self.retrain_learning_rate):
            _require(rate > 0, f"learning rate must be > 0, got {rate}")
        _require(self.weight_decay >= 0, f"weight decay must be >= 0, got {self.weight_decay}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AttackConfig:
    """How the attack family is cross-fitted."""

    folds: int = 5
    """The number of cross-fitting folds, stratified by membership and class."""

    neural_epochs: int = 12
    """The passes of the neural f_A over its training folds."""

    def __post_init__(self) -> None:
        _require(self.folds >= 2, f"attack folds must be at least 2, got {self.folds}")
        _require(
            self.neural_epochs >= 1,
            f"epochs of the neural attack must be at least 1, got {self.neural_epochs}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """Everything that decides one trial's record; the data split follows from `run_seed`."""

    kind: str
    """One of baseline, anchor, search, confirm, comparator and reference."""

    number: int
    """The trial's count among those of its kind; together with the kind it names the trial."""

    run_seed: int
    """The seed that fixes the split and the dense model."""

    seed: int
    """The seed of this trial's batches and attack folds; all trials of the search share it."""

    dataset: str
    model: str
    n: tuple[int, ...]
    """{n_i}: the non-zero weights that each prunable layer may keep, in the model's order."""

    defense: str = "pruning"
    pruner: str = "admm"

    parameters: dict[str, float] = dataclasses.field(default_factory=dict)
    """The defence's own numbers, under the names in its registry entry, and those of the recipe
    that the candidate has of its own (trainables/defenses/recipe.py)."""

    training: TrainingConfig
    admm: ADMMConfig
    attack: AttackConfig

    @property
    def trial_id(self) -> str:
        """The trial's name, such as `search-0007`; it survives a resume."""
        return f"{self.kind}-{self.number:04d}"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types; the inverse of `from_dict`."""
        return {**dataclasses.asdict(self), "n": list(self.n)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` wrote."""
        return cls(
            **{
                **values,
                "n": tuple(values["n"]),
                "training": TrainingConfig(**values["training"]),
                "admm": ADMMConfig(**values["admm"]),
                "attack": AttackConfig(**values["attack"]),
            }
        )


def config_hash(values: dict[str, Any]) -> str:
    """Sixteen hex digits that hash all values, including defaults: a new default changes them."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
