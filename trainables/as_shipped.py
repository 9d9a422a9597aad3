"""What one form of a finished network answers and leaks, beside the weights it was made from."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trainables.attacks.evidence import DigestedReferences
from trainables.attacks.strongest import strongest_attack
from trainables.config import AttackConfig
from trainables.data.cohort import Cohort
from trainables.measure import evidence_of
from trainables.records import NETWORKS
from trainables.training import predict

Logits = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Logits (images, classes) on each part."""

    audited: Logits
    validation: Logits
    test: Logits


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AsShipped:
    """One form's figures."""

    test_accuracy: float
    other_classes: int
    """Test images that it puts into another class than the weights it was made from."""

    test_images: int
    largest_difference: float
    """Of a logit, on the test images, from those of the weights it was made from."""

    excess_gain: float
    """Of the strongest attack on this very form, nats."""

    excess_gain_se: float
    strongest_attack: str
    references: int
    """Models made alike that the attacks learned from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examiner:
    """Asks and attacks forms of one network, all alike, so that they are compared in pairs."""

    cohort: Cohort
    attack: AttackConfig
    seed: int
    """Of the folds."""

    reference: DigestedReferences | None
    """None understates the leak."""

    def outputs(self, network: nn.Module) -> Outputs:
        """What it answers."""
        cohort = self.cohort
        return Outputs(
            **{
                part: predict(network, cohort.images, getattr(cohort, part)).cpu().numpy()
                for part in ("audited", "validation", "test")
            }
        )

    def accuracy(self, logits: Logits, part: str) -> float:
        """On `validation` or `test`, whose logits they are."""
        return float((logits.argmax(axis=1) == self._labels(part)).mean())

    def measured(self, form: Outputs, original: Outputs) -> AsShipped:
        """Compare and attack a form.

        The networks among the attacks are left out, as in a search with references: each takes
        longer than all others, which find more.  Raises ValueError for outputs that are not finite.
        """
        found = strongest_attack(
            evidence_of(form.audited, self.cohort, self.reference),
            self.attack,
            self.seed,
            without=NETWORKS,
        )
        return AsShipped(
            test_accuracy=self.accuracy(form.test, "test"),
            other_classes=int((form.test.argmax(axis=1) != original.test.argmax(axis=1)).sum()),
            test_images=len(form.test),
            largest_difference=float(np.abs(form.test - original.test).max(initial=0.0)),
            excess_gain=found.excess_gain,
            excess_gain_se=found.attack_gain_se,
            strongest_attack=found.strongest_attack,
            references=0 if self.reference is None else len(self.reference.trained_on),
        )

    def _labels(self, part: str) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = (
            self.cohort.images.labels[getattr(self.cohort, part)].cpu().numpy()
        )
        return labels
