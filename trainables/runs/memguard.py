"""MemGuard on the run's dense model: nothing is trained but the defender's attacker."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trainables.base.seeding import torch_generator
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.memguard import fit_attacker, released
from trainables.runs.dense import LoadedDense
from trainables.runs.start import Start


class MemGuardRun(LoadedDense):
    """The dense model behind MemGuard; `config.parameters` holds `distortion`."""

    def __init__(self, config: TrialConfig, cohort: Cohort, weights: Mapping[str, Tensor]) -> None:
        """weights: the dense model's state dict.

        The defender's attacker is fitted on members and the reserve, never on held-out images.
        """
        super().__init__(config, cohort, weights)
        self._distortion = config.parameters["distortion"]
        members, others = (
            super(MemGuardRun, self).predict(part).softmax(1)
            for part in (cohort.members, cohort.reserve)
        )
        self._attacker = fit_attacker(members, others, config.seed)
        generator = torch_generator(config.seed, "memguard-coin")
        self._uniform = torch.rand(len(cohort.images.labels), generator=generator)
        self._audited = cohort.audited
        self._moved = torch.full((len(cohort.images.labels),), math.nan)

    @property
    def spent(self) -> Mapping[str, float]:
        """Mean L1 distance of the released confidences from the network's, over D and D'."""
        if self._moved[self._audited.cpu()].isnan().any():
            self.predict(self._audited)
        return {"distortion": float(self._moved[self._audited.cpu()].double().mean())}

    def predict(self, indices: Tensor) -> Tensor:
        """Log confidences (m, classes) float32: all that the defence releases."""
        uniform = self._uniform[indices.cpu()].to(indices.device)
        logits = super().predict(indices)
        answer = released(self._attacker, logits, self._distortion, uniform)
        plain = logits.log_softmax(1)  # as `released` gives it: what is left alone moves by 0
        self._moved[indices.cpu()] = (answer.exp() - plain.exp()).abs().sum(1).cpu()
        return answer


def guarded(config: TrialConfig, cohort: Cohort, start: Start) -> MemGuardRun:
    """The run's dense model behind the filter."""
    return MemGuardRun(config, cohort, start.weights)
