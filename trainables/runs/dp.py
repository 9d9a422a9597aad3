"""DP-SGD from scratch as a resumable run."""

from collections.abc import Mapping

import torch
from torch import Tensor

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
from trainables.runs.epochs import EpochRun, Stateful
from trainables.runs.start import Start
from trainables.training import Epoch, cosine


class PrivateRun(EpochRun):
    """One model under (epsilon, |D|^-1.1)-differential privacy; Adam on the noised gradients."""

    def __init__(self, config: TrialConfig, cohort: Cohort) -> None:
        """config.parameters: epsilon, clip, learning_rate, batch_share, epochs.

        Raises InvalidInput for an epsilon or a network that DP-SGD does not support.
        """
        numbers, members = config.parameters, len(cohort.members)
        epochs = int(numbers["epochs"])
        batch_size = min(members, max(FEWEST, round(numbers["batch_share"] * members)))
        network = without_batch_norm(new_network(config, cohort))
        super().__init__(config, cohort, network, epochs=epochs, batches="dp-batches")
        self._noise = noise_multiplier(
            numbers["epsilon"], members=members, batch_size=batch_size, epochs=epochs
        )
        self._private = PrivateTraining(
            network,
            torch.optim.Adam(network.parameters(), lr=numbers["learning_rate"]),
            noise=self._noise,
            clip=numbers["clip"],
            members=members,
            batch_size=batch_size,
            generator=torch_generator(config.seed, "dp-noise", cohort.members.device),
        )
        self._epoch = Epoch(
            cohort.images,
            cohort.members,
            batch_size=batch_size,
            augment=config.training.augment,
            generator=self._generator,
            draw=self._private.draw,
            mixed_precision=False,  # per-image gradients are summed in float32
        )

    @property
    def spent(self) -> Mapping[str, float]:
        """Epsilon so far, its delta, and the noise in units of the clipping norm."""
        return {
            "epsilon": self._private.epsilon,
            "delta": delta_for(len(self.cohort.members)),
            "noise_multiplier": self._noise,
        }

    def advance(self) -> EpochRecord:
        """Train one epoch."""
        start, steps = self.config.parameters["learning_rate"], self._budget * self._epoch.steps
        with quiet_hooks():
            trained = self._epoch.train(
                self._private.module,
                self._private.optimizer,
                # the loop counts parts of batches, the accountant counts noised steps
                learning_rate=lambda _part: cosine(start, self._private.steps, steps),
            )
        return self._counted("dp", trained)

    def _carried(self) -> Mapping[str, Stateful | None]:
        return {"private": self._private}


def require_bounded_sensitivity(run: PrivateRun, images: Tensor, labels: Tensor) -> None:
    """Raise InvalidInput unless one image adds at most the clipping norm to a step of `run`.

    The check runs on the CPU on a copy of the network, so the run stays as it is.
    images: (n, c, h, w) float32, at least 2, normalised as for training.  labels: (n,) int64.
    """
    network = without_batch_norm(new_network(run.config, run.cohort))
    network.load_state_dict(run.model.state_dict())
    require_bounded(network.cpu(), images.cpu(), labels.cpu(), clip=run.config.parameters["clip"])


def private(config: TrialConfig, cohort: Cohort, _start: Start) -> PrivateRun:
    """DP-SGD with the trial's own seed."""
    return PrivateRun(config, cohort)
