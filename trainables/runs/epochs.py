"""What runs of several epochs share: they count them, record them and take their state back."""

import abc
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from trainables.base.seeding import torch_generator
from trainables.config import TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.records import KINDS, EpochRecord
from trainables.training import Epoch, accuracy, predict


class Stateful(Protocol):
    """An optimiser, an attacker or whatever else carries state from one epoch to the next."""

    def state_dict(self) -> dict[str, Any]:
        """What the next epoch depends on; loads with `weights_only=True`."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Continue where `state_dict` was taken."""


class EpochRun(abc.ABC):
    """A fixed number of epochs on one network; a subclass says what it does in each of them."""

    def __init__(
        self, config: TrialConfig, cohort: Cohort, model: nn.Module, *, epochs: int, batches: str
    ) -> None:
        """epochs: the whole budget.  batches: names the generator of order and crops."""
        self.config = config
        self.cohort = cohort
        self.model = model
        self._budget = epochs
        self._done = 0
        self._generator = torch_generator(config.seed, batches)

    @abc.abstractmethod
    def advance(self) -> EpochRecord:
        """Train one epoch."""

    @abc.abstractmethod
    def _carried(self) -> Mapping[str, Stateful | None]:
        """Name in the state -> what an epoch hands on beside the weights and the generator."""

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return self._done

    @property
    def budget(self) -> int:
        """Epochs of the whole training."""
        return self._budget

    @property
    def finished(self) -> bool:
        """Whether the whole budget is spent."""
        return self._done == self._budget

    @property
    def progress(self) -> float:
        """Fraction of the epochs that is done."""
        return self._done / self._budget

    @property
    def is_recorded(self) -> bool:
        """Whether its epochs go to epochs.parquet; else they are not validated, to save time."""
        return self.config.kind in KINDS

    @property
    def at_stage_end(self) -> bool:
        """Only at the end: half-trained, a network says little of its final accuracy."""
        return self.finished

    @property
    def spent(self) -> Mapping[str, float]:
        """Nothing beyond accuracy; a defence that spends more overrides it."""
        return {}

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self.cohort.images, indices)

    def state_dict(self) -> dict[str, Any]:
        """Everything `advance` depends on; loads with `weights_only=True`."""
        return {
            "done": self._done,
            "model": self.model.state_dict(),
            "generator": self._generator.get_state(),
            **{
                name: None if part is None else part.state_dict()
                for name, part in self._carried().items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._done = state["done"]
        self.model.load_state_dict(state["model"])
        self._generator.set_state(state["generator"].cpu())
        for name, part in self._carried().items():
            if part is not None:
                part.load_state_dict(state[name])

    def _pass_over(self, indices: Tensor, training: TrainingConfig) -> Epoch:
        """A pass over `indices` (m,) with this run's generator."""
        return Epoch(
            self.cohort.images,
            indices,
            batch_size=training.batch_size,
            augment=training.augment,
            generator=self._generator,
        )

    def _counted(
        self,
        phase: str,
        trained: tuple[float, float],
        *,
        model: nn.Module | None = None,
        **measured: float | None,
    ) -> EpochRecord:
        """Count the epoch just trained and record it.

        trained: its loss and training accuracy.  model: whose validation accuracy it reports [the
        run's].  measured: the phase's own columns.
        """
        self._done += 1
        loss, train_accuracy = trained
        validated = None
        if self.is_recorded or self.finished:
            network = self.model if model is None else model
            validated = accuracy(network, self.cohort.images, self.cohort.validation)
        return EpochRecord(
            trial_id=self.config.trial_id,
            phase=phase,
            epoch=self._done,
            loss=loss,
            train_accuracy=train_accuracy,
            val_accuracy=validated,
            **measured,
        )
