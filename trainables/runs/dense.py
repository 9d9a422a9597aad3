"""The dense model of a run and of its references: trained once, shared by every trial."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trainables.base.seeding import derive_seed, torch_generator
from trainables.config import TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.minmax import AdversaryFor, loss_against
from trainables.models.weights import load_weights
from trainables.network import new_network
from trainables.records import EpochRecord
from trainables.runs.start import Start
from trainables.training import Epoch, accuracy, cosine, make_optimizer, predict


def dense_seed(run_seed: int, reference: int | None) -> int:
    """Seed of the run's dense model, or of one of its references."""
    return derive_seed(run_seed, "dense" if reference is None else f"reference-{reference}")


class DenseRun:
    """Training from scratch on the cohort's members, one epoch per `advance`; resumable."""

    spent: Mapping[str, float] = {}

    def __init__(
        self,
        config: TrialConfig,
        cohort: Cohort,
        *,
        training: TrainingConfig | None = None,
        stop_after: int | None = None,
        adversary: AdversaryFor | None = None,
    ) -> None:
        """training: instead of the run's own.  stop_after: epochs, of a schedule made for all.

        adversary: makes the attacker whose gain joins the loss; None trains without one.
        """
        self.config = config
        self._cohort = cohort
        self.model: nn.Module = new_network(config, cohort)
        training = training or config.training
        self._training = training
        self._budget = training.epochs if stop_after is None else stop_after
        if not 1 <= self._budget <= training.epochs:
            raise ValueError(f"stop between 1 and {training.epochs} epochs, got {stop_after}")
        self._optimizer = make_optimizer(
            self.model, training.optimizer, training.learning_rate, training.weight_decay
        )
        self._generator = torch_generator(config.seed, "dense-batches")
        self._epoch = Epoch(
            cohort.images,
            cohort.members,
            batch_size=training.batch_size,
            augment=training.augment,
            generator=self._generator,
        )
        self._adversary = None if adversary is None else adversary(self.model)
        self._done = 0

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return self._done

    @property
    def finished(self) -> bool:
        """Whether the whole budget is spent."""
        return self._done == self._budget

    @property
    def progress(self) -> float:
        """Fraction of the epochs that is done."""
        return self._done / self._budget

    @property
    def at_stage_end(self) -> bool:
        """Only at the end: half-trained, a network says little of its final accuracy."""
        return self.finished

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self._cohort.images, indices)

    def advance(self) -> EpochRecord:
        """Train one epoch."""
        training = self._training
        steps = self._epoch.steps

        def learning_rate(step: int) -> float:
            position = self._done * steps + step
            return cosine(training.learning_rate, position, training.epochs * steps)

        loss, train_accuracy = self._epoch.train(
            self.model,
            self._optimizer,
            learning_rate=learning_rate,
            loss=loss_against(self._adversary),
        )
        self._done += 1
        return EpochRecord(
            trial_id=self.config.trial_id,
            phase="dense",
            epoch=self._done,
            loss=loss,
            train_accuracy=train_accuracy,
            val_accuracy=accuracy(self.model, self._cohort.images, self._cohort.validation),
            attack_accuracy=None if self._adversary is None else self._adversary.accuracy(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything `advance` depends on; loads with `weights_only=True`."""
        return {
            "done": self._done,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "adversary": None if self._adversary is None else self._adversary.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._done = state["done"]
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())
        if self._adversary is not None:
            self._adversary.load_state_dict(state["adversary"])


class LoadedDense:
    """A dense model that was trained before: nothing to train, only to be measured."""

    finished = True
    progress = 1.0
    at_stage_end = True
    spent: Mapping[str, float] = {}

    def __init__(self, config: TrialConfig, cohort: Cohort, weights: Mapping[str, Tensor]) -> None:
        """weights: the model's state dict."""
        self._images = cohort.images
        self.epochs = config.training.epochs
        self.model: nn.Module = new_network(config, cohort)
        load_weights(self.model, weights)

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self._images, indices)

    def advance(self) -> EpochRecord:
        """Raise RuntimeError: there is no epoch left."""
        raise RuntimeError("a loaded dense model has nothing left to train")

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the weights come from the run."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


def trained_anew(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe itself, from the trial's own seed."""
    return DenseRun(config, cohort)


def stopped_early(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe cut short after `epochs`, its schedule made for the whole."""
    return DenseRun(config, cohort, stop_after=int(config.parameters["epochs"]))


def decayed(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe with another weight decay."""
    decay = config.parameters["weight_decay"]
    training = dataclasses.replace(config.training, weight_decay=decay)
    return DenseRun(config, cohort, training=training)
