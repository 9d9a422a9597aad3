"""MemGuard on the run's dense model: nothing is trained but the defender's attacker."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainables.baseline import LoadedDense
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.memguard import fit_attacker, released
from trainables.seeding import torch_generator


class MemGuardRun(LoadedDense):
    """The dense model behind MemGuard; `config.parameters` holds `distortion`."""

    def __init__(self, config: TrialConfig, cohort: Cohort, weights: Mapping[str, Tensor]) -> None:
        """weights: the dense model's state dict.

        The defender knows members and the reference part, nothing that anything is measured on.
        """
        super().__init__(config, cohort, weights)
        self._distortion = config.parameters["distortion"]
        members, others = (
            super(MemGuardRun, self).predict(part).softmax(1)
            for part in (cohort.members, cohort.reference)
        )
        self._attacker = fit_attacker(members, others, config.seed)
        generator = torch_generator(config.seed, "memguard-coin")
        self._uniform = torch.rand(len(cohort.images.labels), generator=generator)

    def predict(self, indices: Tensor) -> Tensor:
        """Log confidences (m, classes) float32: what the defence releases, and nothing beside."""
        uniform = self._uniform[indices.cpu()].to(indices.device)
        return released(self._attacker, super().predict(indices), self._distortion, uniform)
