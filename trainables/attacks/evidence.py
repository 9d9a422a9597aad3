"""What an attack sees: outputs, labels and, to be scored on held-out images, who is a member.

Notation: n audited images, k classes, r reference models.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from trainables.base import noun

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def _require_bool(values: NDArray[np.generic], name: str) -> None:
    """`~` of integers 0 and 1 would select the first and the last image, without an error."""
    if values.dtype != np.bool_:
        raise ValueError(f"{name} must be bool, got {values.dtype}")


@dataclasses.dataclass(frozen=True)
class ReferenceEvidence:
    """Outputs of models like the target whose members the attacker chose."""

    logits: NDArray[np.floating]
    """(r, n, k)."""

    trained_on: Bools
    """(r, n): True where the reference trained on the image."""

    def __post_init__(self) -> None:
        _require_bool(self.trained_on, "the references' membership")
        if self.logits.ndim != 3 or self.trained_on.shape != self.logits.shape[:2]:
            raise ValueError(
                f"reference logits {self.logits.shape} do not fit membership "
                f"{self.trained_on.shape}"
            )
        if not np.isfinite(self.logits).all():
            raise ValueError("a reference model's logits are not finite")
        inside = self.trained_on.sum(axis=0)
        if inside.min() < 1 or inside.max() >= len(self.trained_on):
            raise ValueError(f"every {noun.one()} must be inside one reference and outside another")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One target model's outputs on members and non-members, in evaluation mode."""

    logits: NDArray[np.floating]
    """(n, k), before the softmax."""

    labels: NDArray[np.integer]
    """(n,) in [0, k)."""

    is_member: Bools
    """(n,); both sides count alike however many they are, so that 0.5 is the honest guess."""

    reference: ReferenceEvidence | None = None

    copies: NDArray[np.integer] | None = None
    """(n,) equal where two images are copies of one; None where no two are."""

    def __post_init__(self) -> None:
        n = len(self.logits)
        _require_bool(self.is_member, "membership")
        if self.logits.ndim != 2 or self.labels.shape != (n,) or self.is_member.shape != (n,):
            raise ValueError(
                f"logits {self.logits.shape}, labels {self.labels.shape} and membership "
                f"{self.is_member.shape} do not fit"
            )
        n_classes = self.logits.shape[1]
        if n_classes < 2 or n == 0:
            raise ValueError(
                f"logits {self.logits.shape}: at least two classes and two {noun.many()}"
            )
        if self.labels.min() < 0 or self.labels.max() >= n_classes:
            raise ValueError(f"labels lie outside [0, {n_classes})")
        if not np.isfinite(self.logits).all():
            raise ValueError("the target's logits are not finite")
        if self.logits.min() >= 0 and np.allclose(self.logits.sum(axis=1), 1, atol=1e-4):
            raise ValueError("these look like probabilities; attacks take logits")
        if not 0 < int(self.is_member.sum()) < n:
            raise ValueError(f"{int(self.is_member.sum())} of {n} are members; some must be")
        if self.reference is not None and self.reference.logits.shape[1:] != self.logits.shape:
            raise ValueError(f"the references' logits are not of the target's {noun.many()}")
