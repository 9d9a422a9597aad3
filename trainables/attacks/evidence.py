"""What an attack sees: outputs, labels and, to be scored on held-out images, who is a member.

Notation: n audited images, k classes, r reference models.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from trainables.base import noun

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class Digest:
    """What attacks use of one model's outputs, or of r models': see `digest`."""

    features: Floats
    """(n, d) or (r, n, d) shared features at the typical temperature; the scaled confidence leads.
    Not finite where a logit is not."""

    tokens: NDArray[np.float32]
    """(..., t, 3) of the likeliest classes."""

    confidence: Floats
    """(...) scaled confidence at the model's own temperature."""

    log_own: Floats
    """(...) log probability of the label at the model's own temperature."""

    @property
    def typical_confidence(self) -> Floats:
        """(...) scaled confidence at the typical temperature, contiguous."""
        return np.ascontiguousarray(self.features[..., 0])

    def first(self, count: int) -> "Digest":
        """That of the first `count` models."""
        return Digest(**{name: values[:count] for name, values in vars(self).items()})


def _require_bool(values: NDArray[np.generic], name: str) -> None:
    """`~` of integers 0 and 1 would select the first and the last image, without an error."""
    if values.dtype != np.bool_:
        raise ValueError(f"{name} must be bool, got {values.dtype}")


def _require_both_sides(trained_on: Bools) -> None:
    inside = trained_on.sum(axis=0)
    if inside.min() < 1 or inside.max() >= len(trained_on):
        raise ValueError(f"every {noun.one()} must be inside one reference and outside another")


NOT_FINITE = "a reference model's logits are not finite"


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
            raise ValueError(NOT_FINITE)
        _require_both_sides(self.trained_on)

    def fit(self, logits: NDArray[np.floating]) -> bool:
        """Whether they are of the images and classes of the target's logits."""
        return bool(self.logits.shape[1:] == logits.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class DigestedReferences:
    """The same in compact form, as the models of a run leave it and its trials read it."""

    digest: Digest
    """Of r models on n images."""

    trained_on: Bools
    """(r, n)."""

    def __post_init__(self) -> None:
        _require_bool(self.trained_on, "the references' membership")
        shape = self.digest.features.shape
        if len(shape) != 3 or self.trained_on.shape != shape[:2]:
            raise ValueError(
                f"reference features {shape} do not fit membership {self.trained_on.shape}"
            )
        if not np.isfinite(self.digest.features).all():
            raise ValueError(NOT_FINITE)
        _require_both_sides(self.trained_on)

    def fit(self, logits: NDArray[np.floating]) -> bool:
        """Whether they are of as many images as the target's logits."""
        return bool(self.trained_on.shape[1] == len(logits))


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One target model's outputs on members and non-members, in evaluation mode."""

    logits: NDArray[np.floating]
    """(n, k), before the softmax."""

    labels: NDArray[np.integer]
    """(n,) in [0, k)."""

    is_member: Bools
    """(n,); both sides count alike however many they are, so that 0.5 is the honest guess."""

    reference: ReferenceEvidence | DigestedReferences | None = None

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
        if self.reference is not None and not self.reference.fit(self.logits):
            raise ValueError(f"the references' logits are not of the target's {noun.many()}")
