"""Min-Max: the classifier's loss includes the gain of an attacker trained beside it (eq. 3).

Nasr et al. 2018, Algorithm 1; the paper's Algorithm 1, lines 3 to 9. D' is the reserve of the
split, on which nothing is measured (the published code takes the test set).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from trainables.base.seeding import seeded_torch, torch_generator
from trainables.data.cohort import Cohort
from trainables.models.membership import NeuralAttack
from trainables.training import predict

LEARNING_RATE = 1e-3
"""Rate of f_A; at the published 1e-5 it hardly leaves 0.5 within a small data set's epochs."""


class Adversary:
    """f_A with its optimiser, and the loss of a classifier trained against it."""

    def __init__(
        self,
        classifier: nn.Module,
        cohort: Cohort,
        *,
        gamma: float,
        inner_steps: int,
        batch_size: int,
        n_classes: int,
        seed: int,
    ) -> None:
        """gamma: weight of the gain.  inner_steps: steps of f_A per step of the classifier."""
        self._classifier = classifier
        self._cohort = cohort
        self._gamma = gamma
        self._inner_steps = inner_steps
        self._batch_size = batch_size
        self._n_classes = n_classes
        with seeded_torch(seed, "adversary"):
            self.attack = NeuralAttack(n_classes)
        self.attack.to(cohort.members.device)
        self._optimizer = torch.optim.Adam(self.attack.parameters(), lr=LEARNING_RATE, fused=True)
        self._generator = torch_generator(seed, "adversary-batches")

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy + gamma E_S'' log f_A, after f_A took its steps; a scalar in nats.

        logits: (b, k) of a batch S'' of members, with gradient.  The other half of the gain,
        E_D' log(1 - f_A), is left to f_A, as in Nasr et al.: the classifier never trains on D'.
        """
        self._maximise()
        frozen = {name: weight.detach() for name, weight in self.attack.named_parameters()}
        gain = functional.logsigmoid(self._scores(frozen, logits, labels)).mean()
        return functional.cross_entropy(logits, labels) + self._gamma * gain

    @torch.no_grad()
    def accuracy(self) -> float:
        """Balanced accuracy of f_A at 0.5 on all of D and D', as the classifier answers now."""
        images, shares = self._cohort.images, []
        weights = dict(self.attack.named_parameters())
        for part, side in ((self._cohort.members, 1), (self._cohort.reserve, -1)):
            logits = predict(self._classifier, images, part)
            scores = self._scores(weights, logits, images.labels[part])
            shares.append(float((scores.sign() * side + 1).double().mean()) / 2)  # undecided: half
        return sum(shares) / len(shares)

    def state_dict(self) -> dict[str, Any]:
        """f_A, its optimiser and its generator; loads with `weights_only=True`."""
        return {
            "attack": self.attack.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.attack.load_state_dict(state["attack"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())

    def _maximise(self) -> None:
        """Steps of f_A on random mini-batches S of D and S' of D' (lines 3 to 7).

        The classifier is fixed meanwhile, so one forward pass serves all steps.
        """
        steps = [
            torch.cat([self._drawn(self._cohort.members), self._drawn(self._cohort.reserve)])
            for _ in range(self._inner_steps)
        ]
        labels = self._cohort.images.labels
        weights: dict[str, Tensor] = dict(self.attack.named_parameters())
        for indices, logits in zip(steps, self._released(torch.cat(steps)), strict=True):
            scores = self._scores(weights, logits, labels[indices])
            member, other = torch.split(scores, self._batch_size)
            gain = functional.logsigmoid(member).mean() + functional.logsigmoid(-other).mean()
            self._optimizer.zero_grad(set_to_none=True)
            (-gain).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()

    def _drawn(self, part: Tensor) -> Tensor:
        chosen = torch.randint(len(part), (self._batch_size,), generator=self._generator)
        return part[chosen.to(part.device)]

    def _released(self, indices: Tensor) -> tuple[Tensor, ...]:
        """Logits of each step's images as the attacker will see them.

        In evaluation mode, so that no batch statistic moves.
        """
        images = self._cohort.images
        self._classifier.eval()
        with torch.no_grad():
            logits = torch.cat(
                [
                    self._classifier(images.batch(part))
                    for part in torch.split(indices, images.at_once)
                ]
            )
        self._classifier.train()
        return torch.split(logits, 2 * self._batch_size)

    def _scores(self, weights: Mapping[str, Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """(b,) logits of membership under f_A's `weights`, float32 whatever the classifier's."""
        with torch.autocast(logits.device.type, enabled=False):
            one_hot = functional.one_hot(labels, self._n_classes).float()
            inputs = (logits.float().softmax(1), one_hot)
            scores: Tensor = functional_call(self.attack, dict(weights), inputs)
        return scores


AdversaryFor = Callable[[nn.Module], Adversary]
"""Classifier -> its adversary."""


def loss_against(adversary: Adversary | None) -> Callable[[Tensor, Tensor], Tensor]:
    """The classifier's loss: plain cross-entropy without an adversary."""
    return functional.cross_entropy if adversary is None else adversary.loss
