"""Pruners by name: what comes before the hard prune, and how the masked network is trained.

This module imports nothing heavy, so that command lines may read it.
"""

import dataclasses
from collections.abc import Callable

from trainables.config import TrialConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How a pruner spends its epochs."""

    admm_epochs: int
    """Epochs before the hard prune; 0 prunes the dense network as it is."""

    retrain_epochs: int
    """Epochs after the hard prune, with the masks fixed."""

    retrain_learning_rate: float
    """Start of a cosine to zero."""

    weight_decay: float
    """While retraining."""

    rewinds: bool = False
    """Whether the kept weights go back to the dense network's initialisation."""

    @property
    def epochs(self) -> int:
        """All epochs of a candidate."""
        return self.admm_epochs + self.retrain_epochs


def _admm(config: TrialConfig) -> Schedule:
    admm = config.admm
    return Schedule(
        admm_epochs=admm.iterations * admm.epochs_per_iteration,
        retrain_epochs=admm.retrain_epochs,
        retrain_learning_rate=admm.retrain_learning_rate,
        weight_decay=admm.weight_decay,
    )


def _magnitude(config: TrialConfig) -> Schedule:
    """One-shot magnitude pruning, retrained for as many epochs as ADMM takes in all."""
    whole = _admm(config)
    return dataclasses.replace(whole, admm_epochs=0, retrain_epochs=whole.epochs)


def _lottery(config: TrialConfig) -> Schedule:
    """A lottery ticket (Frankle and Carbin 2019): the dense network's training over again.

    Masks come from its final weights, the start from its initial ones.
    """
    return Schedule(
        admm_epochs=0,
        retrain_epochs=config.training.epochs,
        retrain_learning_rate=config.training.learning_rate,
        weight_decay=config.training.weight_decay,
        rewinds=True,
    )


PRUNERS: dict[str, Callable[[TrialConfig], Schedule]] = {
    "admm": _admm,
    "magnitude": _magnitude,
    "lottery": _lottery,
}
"""Pruner -> how it spends the epochs of a trial's settings."""
