"""Model stacking, as a resumable run: the first network, the second, then the joint."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.base.seeding import derive_seed, torch_generator
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.defenses.stacking import Stack, fit_join, three_parts
from trainables.network import new_network
from trainables.records import EpochRecord
from trainables.runs.start import Start
from trainables.training import Epoch, accuracy, cosine, make_optimizer, predict


class StackedRun:
    """Both networks under the run's own recipe, one epoch per `advance`."""

    spent: Mapping[str, float] = {}

    def __init__(self, config: TrialConfig, cohort: Cohort) -> None:
        """config.parameters: meta_share, the members that only the joint is fitted on."""
        self.config = config
        self._cohort = cohort
        device = cohort.members.device
        first, second = (
            new_network(config, cohort, seed=derive_seed(config.seed, f"stacked-{number}"))
            for number in range(2)
        )
        self._stack = Stack(first, second, DATASETS[config.dataset].n_classes).to(device)
        self.model: nn.Module = self._stack
        labels = cohort.images.labels[cohort.members]
        share = config.parameters["meta_share"]
        self._parts = [cohort.members[part] for part in three_parts(labels, share, config.seed)]
        self._generator = torch_generator(config.seed, "stacked-batches")
        self._done = 0
        self._optimizer = self._new_optimizer()

    @property
    def epochs(self) -> int:
        """Passes so far of either network over its part."""
        return self._done

    @property
    def finished(self) -> bool:
        """Whether both networks had their epochs; the joint is then fitted."""
        return self._done == 2 * self.config.training.epochs

    @property
    def progress(self) -> float:
        """Fraction of the epochs that is done."""
        return self._done / (2 * self.config.training.epochs)

    @property
    def at_stage_end(self) -> bool:
        """Only at the end."""
        return self.finished

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32 of the whole stack."""
        return predict(self.model, self._cohort.images, indices)

    def advance(self) -> EpochRecord:
        """Train one epoch of the first network, or of the second; fit the joint after the last."""
        training = self.config.training
        which, epoch = divmod(self._done, training.epochs)
        if epoch == 0 and which == 1:
            self._optimizer = self._new_optimizer()
        passes = Epoch(
            self._cohort.images,
            self._parts[which],
            batch_size=training.batch_size,
            augment=training.augment,
            generator=self._generator,
        )
        steps = passes.steps
        loss, train_accuracy = passes.train(
            self._network(which),
            self._optimizer,
            learning_rate=lambda step: cosine(
                training.learning_rate, epoch * steps + step, training.epochs * steps
            ),
        )
        self._done += 1
        if self.finished:
            self._join()
        return EpochRecord(
            trial_id=self.config.trial_id,
            phase="dense",
            epoch=self._done,
            loss=loss,
            train_accuracy=train_accuracy,
            val_accuracy=accuracy(
                self.model if self.finished else self._network(which),
                self._cohort.images,
                self._cohort.validation,
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything `advance` depends on; loads with `weights_only=True`."""
        return {
            "done": self._done,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._done = state["done"]
        self.model.load_state_dict(state["model"])
        self._optimizer = self._new_optimizer()
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())

    def _network(self, which: int) -> nn.Module:
        return self._stack.first if which == 0 else self._stack.second

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Of the network that the next epoch trains."""
        training = self.config.training
        return make_optimizer(
            self._network(min(self._done // training.epochs, 1)),
            training.optimizer,
            training.learning_rate,
            training.weight_decay,
        )

    def _join(self) -> None:
        images, part = self._cohort.images, self._parts[2]
        sides = [predict(self._network(which), images, part).softmax(1) for which in range(2)]
        fit_join(self._stack, torch.cat(sides, dim=1), images.labels[part])


def stacked(config: TrialConfig, cohort: Cohort, _start: Start) -> StackedRun:
    """Two networks and their joint, from the trial's own seed."""
    return StackedRun(config, cohort)
