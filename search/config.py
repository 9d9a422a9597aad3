"""SearchConfig: everything that decides what a run finds, frozen and checked."""

import dataclasses
from typing import Any, Self

from trainables.config import ADMMConfig, AttackConfig, InvalidInput, TrainingConfig, config_hash
from trainables.defenses.registry import Parameter

MOST_CANARIES = 0.5
"""A network whose members are mostly mislabelled learns nothing else."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


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
    """Feasible: validation accuracy >= dense validation accuracy - this fraction."""

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

    seed: int = 0
    """Fixes the split, the dense model and the order of suggestions."""

    def __post_init__(self) -> None:
        _require(self.trials >= 1, f"--trials must be at least 1, got {self.trials}")
        budget = self.time_budget_s
        _require(budget is None or budget > 0, f"--time-budget must be longer than 0, got {budget}")
        _require(
            0 <= self.max_accuracy_drop < 1,
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
        _require(self.seed >= 0, f"--seed must be 0 or more, got {self.seed}")
        _require(
            0 < self.minimum_keep < 1,
            f"the least keep ratio must lie in (0, 1), got {self.minimum_keep}",
        )

    @property
    def key(self) -> str:
        """Hash of all values: two runs with the same key asked for the same thing."""
        return config_hash(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` wrote; raises InvalidInput on unknown or missing fields."""
        try:
            return cls(
                **{
                    **values,
                    "training": TrainingConfig(**values["training"]),
                    "admm": ADMMConfig(**values["admm"]),
                    "attack": AttackConfig(**values["attack"]),
                    "parameters": {
                        name: Parameter(**parameter)
                        for name, parameter in values["parameters"].items()
                    },
                }
            )
        except (TypeError, KeyError) as error:
            raise InvalidInput(f"the run's settings do not fit this version: {error}") from error
