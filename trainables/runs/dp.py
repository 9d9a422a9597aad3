"""DP-SGD from scratch, as a resumable run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.base.seeding import torch_generator
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.dp import (
    FEWEST,
    PrivateTraining,
    delta_for,
    noise_multiplier,
    quiet_hooks,
)
from trainables.defenses.sensitivity import require_bounded
from trainables.defenses.unmixed import without_batch_norm
from trainables.network import new_network
from trainables.records import EpochRecord
from trainables.runs.start import Start
from trainables.training import Epoch, accuracy, cosine, predict


class PrivateRun:
    """One model under (epsilon, |D|^-1.1)-differential privacy; Adam on the noised gradients."""

    def __init__(self, config: TrialConfig, cohort: Cohort) -> None:
        """config.parameters: epsilon, clip, learning_rate, batch_share, epochs.

        Raises InvalidInput for an epsilon or a network that DP-SGD cannot do.
        """
        self.config = config
        self.cohort = cohort
        numbers, members = config.parameters, len(cohort.members)
        self._budget = int(numbers["epochs"])
        self._batch_size = min(members, max(FEWEST, round(numbers["batch_share"] * members)))
        self.model: nn.Module = without_batch_norm(new_network(config, cohort))
        self._noise = noise_multiplier(
            numbers["epsilon"], members=members, batch_size=self._batch_size, epochs=self._budget
        )
        self._private = PrivateTraining(
            self.model,
            torch.optim.Adam(self.model.parameters(), lr=numbers["learning_rate"]),
            noise=self._noise,
            clip=numbers["clip"],
            members=members,
            batch_size=self._batch_size,
            generator=torch_generator(config.seed, "dp-noise", cohort.members.device),
        )
        self._generator = torch_generator(config.seed, "dp-batches")
        self._epoch = Epoch(
            cohort.images,
            cohort.members,
            batch_size=self._batch_size,
            augment=config.training.augment,
            generator=self._generator,
            draw=self._private.draw,
            mixed_precision=False,  # per-image gradients are summed in float32
        )
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
        """Only at the end."""
        return self.finished

    @property
    def spent(self) -> Mapping[str, float]:
        """Epsilon so far, its delta, and the noise in units of the clipping norm."""
        return {
            "epsilon": self._private.epsilon,
            "delta": delta_for(len(self.cohort.members)),
            "noise_multiplier": self._noise,
        }

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self.cohort.images, indices)

    def advance(self) -> EpochRecord:
        """Train one epoch."""
        start, steps = self.config.parameters["learning_rate"], self._budget * self._epoch.steps
        with quiet_hooks():
            loss, train_accuracy = self._epoch.train(
                self._private.module,
                self._private.optimizer,
                # not the loop's own count, which is of parts of batches
                learning_rate=lambda _part: cosine(start, self._private.steps, steps),
            )
        self._done += 1
        return EpochRecord(
            trial_id=self.config.trial_id,
            phase="dp",
            epoch=self._done,
            loss=loss,
            train_accuracy=train_accuracy,
            val_accuracy=accuracy(self.model, self.cohort.images, self.cohort.validation),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything `advance` depends on; loads with `weights_only=True`."""
        return {
            "done": self._done,
            "model": self.model.state_dict(),
            "private": self._private.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._done = state["done"]
        self.model.load_state_dict(state["model"])
        self._private.load_state_dict(state["private"])
        self._generator.set_state(state["generator"].cpu())


def require_bounded_sensitivity(run: PrivateRun, images: Tensor, labels: Tensor) -> None:
    """Raise InvalidInput unless one image adds at most the clipping norm to a step of `run`.

    Tried out on the CPU, on a copy of the network with the run's weights: the run is left as it is.
    images: (n, c, h, w) float32, at least 2, normalised as for training.  labels: (n,) int64.
    """
    network = without_batch_norm(new_network(run.config, run.cohort))
    network.load_state_dict(run.model.state_dict())
    require_bounded(network.cpu(), images.cpu(), labels.cpu(), clip=run.config.parameters["clip"])


def private(config: TrialConfig, cohort: Cohort, _start: Start) -> PrivateRun:
    """DP-SGD with the trial's own seed."""
    return PrivateRun(config, cohort)
