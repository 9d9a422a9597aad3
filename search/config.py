"""SearchConfig: everything that decides what a run finds, frozen and checked."""

import dataclasses
from typing import Any, Self

from trainables.base.errors import InvalidInput
from trainables.config import (
    MOST_EXACT,
    ADMMConfig,
    AttackConfig,
    TrainingConfig,
    config_hash,
    rebuilt,
)
from trainables.defenses.registry import Parameter
from trainables.outcome import guarantee_is_fixed

MOST_CANARIES = 0.5
"""A network whose members are mostly mislabelled learns nothing else."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


NO_BOUND = 1.0
"""A drop in accuracy that keeps nothing out; only of `none`, which the others are compared with."""

MOST = 1_000_000
"""Of anything that is counted; more is a slip of the keyboard."""

_COUNTS = ("trials", "confirm_top", "confirm_seeds", "references", "shadows")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """One run. Two runs with equal values and `concurrency` 1 give equal rows on the CPU."""

    dataset: str
    model: str

    training: TrainingConfig
    """The dense model and every reference; one recipe for all."""

    admm: ADMMConfig
    attack: AttackConfig

    plugin: str | None = None
    """SHA-256 of the user's file that registers the network or the data set."""

    pretrained: bool = False
    """Every network starts from published weights; membership is then of the fine-tuning."""

    pretrained_start: bool = False
    """Whether the user says that weights which no seed moves never saw the data set."""

    defense: str = "pruning"
    pruner: str = "admm"
    audit: str = "none"

    parameters: dict[str, Parameter] = dataclasses.field(default_factory=dict)
    """The defence's own numbers: searched, or fixed."""

    sampler: str = "tpe"
    """tpe | gp | random | grid | qmc | nsga2."""

    space: str = "layer"
    """layer | cluster | global: how many numbers the search chooses."""

    minimum_keep: float = 0.02
    """Least keep ratio that is tried, in (0, 1)."""

    trials: int = 40
    """Anchors and suggested trials together."""

    time_budget_s: float | None = None
    """No trial starts after this many seconds of searching; None is no limit."""

    max_accuracy_drop: float = 0.01
    """Feasible: validation accuracy >= dense validation accuracy - this fraction, or NO_BOUND."""

    min_compression: float | None = None
    """Feasible: prunable weights / non-zero prunable weights >= this; None is no bound."""

    confirm_top: int = 3
    """Feasible vectors that are measured again with fresh seeds."""

    confirm_seeds: int = 3
    """Fresh seeds per confirmed vector."""

    references: int = 8
    """Reference models of the matched attack; even, 0 turns it off."""

    shadows: int = 0
    """Shadow models of the audit; even; the references are the first of them."""

    comparators: bool = False
    """Confirm the published allocations at the winner's total count too."""

    canaries: float = 0.0
    """Share of members, and of non-members, whose label is wrong: they are memorised or not."""

    duplicates: str = "together"
    """keep | drop | together: what becomes of images that occur more than once."""

    seed: int = 0
    """Fixes the split, the dense model and the order of suggestions."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _require(
                getattr(self, name) <= MOST,
                f"--{name.replace('_', '-')} must be at most {MOST:,}, got {getattr(self, name)}",
            )
        _require(self.trials >= 1, f"--trials must be at least 1, got {self.trials}")
        budget = self.time_budget_s
        _require(budget is None or budget > 0, f"--time-budget must be longer than 0, got {budget}")
        _require(
            0 <= self.max_accuracy_drop < 1
            or (self.is_bare and self.max_accuracy_drop == NO_BOUND),
            f"--max-accuracy-drop is a fraction in [0, 1), got {self.max_accuracy_drop}: "
            "write 0.01 for one point",
        )
        bound = self.min_compression
        _require(bound is None or bound >= 1, f"--min-compression must be at least 1, got {bound}")
        _require(
            bound is None or bound <= 1 / self.minimum_keep,
            f"--min-compression {bound} cannot be reached: the search keeps at least "
            f"{self.minimum_keep:.0%} of a layer",
        )
        _require(self.confirm_top >= 1, f"--confirm-top must be at least 1, got {self.confirm_top}")
        _require(
            self.confirm_seeds >= 1, f"--confirm-seeds must be at least 1, got {self.confirm_seeds}"
        )
        _require(
            self.references >= 0 and self.references % 2 == 0 and self.references != 2,
            f"--references must be 0 or an even number from 4 (they come in complementary pairs), "
            f"got {self.references}",
        )
        audited = self.audit != "none"
        _require(
            self.shadows >= 2 * audited and self.shadows % 2 == 0,
            f"--shadows must be an even number from 2 (they come in complementary pairs), "
            f"got {self.shadows}",
        )
        _require(
            0 <= self.canaries <= MOST_CANARIES,
            f"--canaries is a fraction in [0, {MOST_CANARIES}], got {self.canaries}: write 0.05 "
            "for one member in twenty",
        )
        _require(
            0 <= self.seed < MOST_EXACT,
            f"--seed must be 0 or more and below 2**53, got {self.seed}",
        )
        _require(
            0 < self.minimum_keep < 1,
            f"the least keep ratio must lie in (0, 1), got {self.minimum_keep}",
        )

    @property
    def is_bare(self) -> bool:
        """Whether nothing defends: the recipe anew, a hair better or worse than the dense model."""
        return self.defense == "none"

    @property
    def guarantee_is_fixed(self) -> bool:
        """Whether every trial gives the same guarantee, so that only accuracy is left to tune."""
        epsilon = self.parameters.get("epsilon")
        return guarantee_is_fixed(self.defense, None if epsilon is None else epsilon.searched)

    @property
    def key(self) -> str:
        """Hash of all values: two runs with the same key asked for the same thing."""
        return config_hash(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` wrote; raises InvalidInput on unknown or missing fields.

        Runs from before `duplicates` left copies where chance dealt them.
        """
        return rebuilt(cls, {"duplicates": "keep", **values})
