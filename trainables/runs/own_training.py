"""A dense model trained by the user's own function, for references must be made as the target was.

The function is registered in the plugin (`trainables.plugin.register_training`) and called once,
as one epoch: there is nothing to resume within it.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn

from trainables.base.seeding import seeded_globals
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.network import new_network
from trainables.plugin import TRAININGS
from trainables.records import EpochRecord
from trainables.runs.epochs import EpochRun, Stateful
from trainables.training import DivergedError, mean_loss_and_accuracy


class OwnTraining(EpochRun):
    """One call of the registered function on the cohort's members."""

    def __init__(self, config: TrialConfig, cohort: Cohort) -> None:
        super().__init__(
            config, cohort, new_network(config, cohort), epochs=1, batches="dense-batches"
        )
        (self._function,) = TRAININGS

    def advance(self) -> EpochRecord:
        """Train. Raises DivergedError where the network's outputs are not finite afterwards."""
        members, images = self.cohort.members, self.cohort.images
        self.model.train()
        with seeded_globals(self.config.seed, "own-training"):
            trained = self._function(
                self.model,
                images.batch(members),
                images.labels[members],
                self.config.seed,
                members.device,
            )
        self._take(trained)
        loss, accuracy = mean_loss_and_accuracy(self.model, images, members)
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss became {loss}")
        return self._counted("dense", (loss, accuracy))

    def _take(self, trained: object) -> None:
        """The function may train in place, or return another network of the same layers."""
        if trained is None or trained is self.model:
            return
        if not isinstance(trained, nn.Module):
            raise TypeError(
                f"register_training's function returned {type(trained).__name__}: return the "
                "trained network, or nothing where it trained in place"
            )
        with torch.no_grad():
            self.model.load_state_dict(trained.state_dict())

    def _carried(self) -> Mapping[str, Stateful | None]:
        return {}
