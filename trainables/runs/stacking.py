"""Model stacking as a resumable run: the first network, the second, then the joint layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from trainables.base.seeding import derive_seed
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.defenses.stacking import Stack, fit_join, three_parts
from trainables.network import new_network
from trainables.records import EpochRecord
from trainables.runs.epochs import EpochRun, Stateful
from trainables.runs.start import Start
from trainables.training import cosine_pass, make_optimizer, predict


class StackedRun(EpochRun):
    """Both networks under the run's own recipe, one epoch per `advance`."""

    def __init__(self, config: TrialConfig, cohort: Cohort) -> None:
        """config.parameters: meta_share, the share of members kept for the joint layer."""
        first, second = (
            new_network(config, cohort, seed=derive_seed(config.seed, f"stacked-{number}"))
            for number in range(2)
        )
        stack = Stack(first, second, DATASETS[config.dataset].n_classes).to(cohort.members.device)
        epochs = 2 * config.training.epochs
        super().__init__(config, cohort, stack, epochs=epochs, batches="stacked-batches")
        self._stack = stack
        labels = cohort.images.labels[cohort.members]
        share = config.parameters["meta_share"]
        self._parts = [cohort.members[part] for part in three_parts(labels, share, config.seed)]
        self._optimizer = self._new_optimizer()

    def advance(self) -> EpochRecord:
        """Train one epoch of either network; after the last, fit the joint layer."""
        training = self.config.training
        which, epoch = divmod(self._done, training.epochs)
        if epoch == 0 and which == 1:
            self._optimizer = self._new_optimizer()
        network = self._network(which)
        passes = self._pass_over(self._parts[which], training)
        trained = passes.train(
            network,
            self._optimizer,
            learning_rate=cosine_pass(training.learning_rate, epoch, training.epochs, passes.steps),
        )
        last = self._done + 1 == self._budget
        if last:
            self._join()
        return self._counted("dense", trained, model=self.model if last else network)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, with the optimiser of the network in training."""
        self._done = state["done"]
        self._optimizer = self._new_optimizer()
        super().load_state_dict(state)

    def _carried(self) -> Mapping[str, Stateful | None]:
        return {"optimizer": self._optimizer}

    def _network(self, which: int) -> nn.Module:
        return self._stack.first if which == 0 else self._stack.second

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the network that the next epoch trains."""
        training = self.config.training
        return make_optimizer(
            self._network(min(self._done // training.epochs, 1)),
            training.optimizer,
            training.learning_rate,
            training.weight_decay,
        )

    def _join(self) -> None:
        images, part = self.cohort.images, self._parts[2]
        sides = [predict(self._network(which), images, part).softmax(1) for which in range(2)]
        fit_join(self._stack, torch.cat(sides, dim=1), images.labels[part])


def stacked(config: TrialConfig, cohort: Cohort, _start: Start) -> StackedRun:
    """Two networks and their joint, from the trial's own seed."""
    return StackedRun(config, cohort)
