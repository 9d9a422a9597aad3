"""The dense models of a run, its own and its references': trained once, shared by every trial."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trainables.base.seeding import derive_seed
from trainables.config import TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.minmax import AdversaryFor, loss_against
from trainables.models.weights import load_weights
from trainables.network import new_network
from trainables.plugin import TRAININGS
from trainables.records import EpochRecord
from trainables.runs.epochs import EpochRun, Stateful
from trainables.runs.own_training import OwnTraining
from trainables.runs.start import Start
from trainables.training import cosine_pass, make_optimizer, predict


def dense_seed(run_seed: int, reference: int | None) -> int:
    """Seed of the run's dense model, or of one of its references."""
    return derive_seed(run_seed, "dense" if reference is None else f"reference-{reference}")


class DenseRun(EpochRun):
    """Training from scratch on the cohort's members, one epoch per `advance`; resumable."""

    def __init__(
        self,
        config: TrialConfig,
        cohort: Cohort,
        *,
        training: TrainingConfig | None = None,
        stop_after: int | None = None,
        adversary: AdversaryFor | None = None,
    ) -> None:
        """training: replaces the run's own recipe.

        stop_after: epochs to train; the learning rate still follows the whole recipe's schedule.
        adversary: makes the attacker whose gain joins the loss; None trains without one.
        """
        training = training or config.training
        epochs = training.epochs if stop_after is None else stop_after
        if not 1 <= epochs <= training.epochs:
            raise ValueError(f"stop between 1 and {training.epochs} epochs, got {stop_after}")
        network = new_network(config, cohort)
        super().__init__(config, cohort, network, epochs=epochs, batches="dense-batches")
        self._training = training
        self._optimizer = make_optimizer(
            network, training.optimizer, training.learning_rate, training.weight_decay
        )
        self._epoch = self._pass_over(cohort.members, training)
        self._adversary = None if adversary is None else adversary(network)

    def advance(self) -> EpochRecord:
        """Train one epoch."""
        training = self._training
        trained = self._epoch.train(
            self.model,
            self._optimizer,
            learning_rate=cosine_pass(
                training.learning_rate, self._done, training.epochs, self._epoch.steps
            ),
            loss=loss_against(self._adversary),
        )
        attack = None if self._adversary is None else self._adversary.accuracy()
        return self._counted("dense", trained, attack_accuracy=attack)

    def _carried(self) -> Mapping[str, Stateful | None]:
        return {"optimizer": self._optimizer, "adversary": self._adversary}


class LoadedDense:
    """A dense model trained earlier, which is only measured."""

    finished = True
    progress = 1.0
    at_stage_end = True

    def __init__(self, config: TrialConfig, cohort: Cohort, weights: Mapping[str, Tensor]) -> None:
        """weights: the model's state dict."""
        self._images = cohort.images
        self.epochs = config.training.epochs
        self.model: nn.Module = new_network(config, cohort)
        load_weights(self.model, weights)

    @property
    def spent(self) -> Mapping[str, float]:
        """Nothing beyond accuracy; a defence that spends more overrides it."""
        return {}

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self._images, indices)

    def advance(self) -> EpochRecord:
        """Raise RuntimeError: a loaded model has nothing left to train."""
        raise RuntimeError("a loaded dense model has nothing left to train")

    def state_dict(self) -> dict[str, Any]:
        """An empty state: the weights come from the run."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the state is empty."""


def dense_run(config: TrialConfig, cohort: Cohort) -> DenseRun | OwnTraining:
    """A dense model by the user's own training, where there is one, or by the recipe."""
    return OwnTraining(config, cohort) if TRAININGS else DenseRun(config, cohort)


def trained_anew(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun | OwnTraining:
    """The training of the dense models, from the trial's own seed."""
    return dense_run(config, cohort)


def stopped_early(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe cut short after `epochs`, its schedule made for the whole."""
    return DenseRun(config, cohort, stop_after=int(config.parameters["epochs"]))


def decayed(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe with another weight decay."""
    decay = config.parameters["weight_decay"]
    training = dataclasses.replace(config.training, weight_decay=decay)
    return DenseRun(config, cohort, training=training)
