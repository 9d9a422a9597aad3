"""How well a model fits the images it was trained on, and others: the first sign of a leak.

It shows whether the named members are the images that a given network was trained on, and whether
models that were made to be its references fit their own members as it fits its.
"""

import dataclasses
import math

import numpy as np
from scipy.special import logsumexp

LARGEST_LOSS = 10.0
"""Nats: one image counts no more, so that a few outliers do not hide the rest."""

Z = 2.0
"""Standard errors beyond which a difference is more than chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """Accuracy and mean cross-entropy (nats, each image's at most LARGEST_LOSS) of one model."""

    accuracy: float
    """On the images it was trained on."""

    accuracy_outside: float
    """On those that it was not trained on."""

    loss: float
    loss_outside: float
    error: float
    """The standard error of `loss_outside` - `loss`."""

    @property
    def gap(self) -> float:
        """How much more an image costs the model that did not train on it, in nats."""
        return self.loss_outside - self.loss

    @property
    def in_words(self) -> str:
        """Both sides in one clause."""
        return (
            f"accuracy {self.accuracy:.1%} on members and {self.accuracy_outside:.1%} on "
            f"non-members, mean loss {self.loss:.3f} and {self.loss_outside:.3f} nats"
        )

    @property
    def doubt(self) -> str | None:
        """What speaks against the named members, in one sentence; None where nothing does."""
        if self.gap < -Z * self.error:
            return (
                "The non-members look trained on, and the members do not: are the lists exchanged?"
            )
        if self.gap < Z * self.error:
            return (
                "The members do not look trained on: their loss is not lower than that of "
                f"non-members by more than chance ({self.gap:.4f}, standard error "
                f"{self.error:.4f} nats). Either they are not what this network was "
                "trained on, or it learnt nothing from them that it does not know of others"
            )
        return None


def fit_to_members(logits: np.ndarray, labels: np.ndarray, is_member: np.ndarray) -> Fit:
    """Compare one model's outputs on its members with those on other images.

    logits: (n, classes).  labels: (n,) int.  is_member: (n,) bool, with both kinds present.
    """
    logits = logits.astype(np.float64)
    own = logits[np.arange(len(labels)), labels]
    loss = np.minimum(logsumexp(logits, axis=1) - own, LARGEST_LOSS)
    right = logits.argmax(1) == labels
    inside, outside = loss[is_member], loss[~is_member]
    return Fit(
        accuracy=float(right[is_member].mean()),
        accuracy_outside=float(right[~is_member].mean()),
        loss=float(inside.mean()),
        loss_outside=float(outside.mean()),
        error=math.sqrt(inside.var() / len(inside) + outside.var() / len(outside)),
    )


def mean_fit(fits: list[Fit]) -> Fit:
    """The mean over models; its error is that of one of them, for the images are the same."""
    return Fit(
        **{
            field.name: float(np.mean([getattr(fit, field.name) for fit in fits]))
            for field in dataclasses.fields(Fit)
        }
    )


TOLERANCE = 0.2
"""References fit as the given network does if their mean losses differ from its by less than this
share of them, or by less than LEAST."""

LEAST = 0.02
"""Nats."""


def distance(one: Fit, other: Fit) -> float:
    """How far two fits are apart: the sum of the differences of both mean losses, in nats."""
    return abs(one.loss - other.loss) + abs(one.loss_outside - other.loss_outside)


def fits_alike(references: Fit, given: Fit) -> bool:
    """Whether both mean losses agree within TOLERANCE."""
    pairs = [(references.loss, given.loss), (references.loss_outside, given.loss_outside)]
    return all(abs(one - two) <= max(TOLERANCE * two, LEAST) for one, two in pairs)


def match_in_words(references: Fit, given: Fit) -> str:
    """How well references match a given network, and what follows for the measured leak."""
    if fits_alike(references, given):
        return (
            f"The reference models match your network. References: {references.in_words}; your "
            f"network: {given.in_words}"
        )
    if references.gap < given.gap:
        direction = (
            "Your references overfit less than your network: the leak may be larger than shown"
        )
    else:
        direction = (
            "Your references overfit more than your network: means over the halves may show more "
            "leak than your network has"
        )
    return (
        f"{direction}. References: {references.in_words}; your network: {given.in_words}. Train "
        "them as yours was, with register_training in the plugin or --set training.epochs=N"
    )
