"""Matched references: for each image, is the target more like models that saw it?

LiRA (Carlini et al. 2022) with a fixed variance, as few references ask for: the scaled confidence
phi of an image is normal around mean_in over references that trained on it and around mean_out
over the others.  The references must be pruned like the target; dense ones miss half of the leak.
"""

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.calibration import logistic_on, own_features
from trainables.attacks.digest import digested_references
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import scaled_confidence, tempered
from trainables.attacks.folds import Folds
from trainables.attacks.lira import online, side_means

CLIP = 3.0
"""Log-likelihood ratios beyond this are model error, not evidence, with a handful of references."""


def compared(target: Floats, phi: Floats, trained_on: Bools) -> Floats:
    """(n, 5) features of a model beside others of its kind, image by image.

    target: (n,) scaled confidence.  phi, trained_on: (r, n) of the others; every image is inside
    one and outside another.
    """
    inside, outside = side_means(phi, trained_on)
    ratio = online(target, phi, trained_on)
    return np.column_stack(
        [
            np.clip(ratio, -CLIP, CLIP),
            ratio / (1 + np.abs(ratio)),
            target - outside,  # the offline form
            inside - outside,
            outside,
        ]
    )


def tempered_confidence(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """(n,) scaled confidence at the typical temperature."""
    return scaled_confidence(tempered(logits, labels), labels)


def matched_references(evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities from the likelihood ratio and the target's own features."""
    reference = digested_references(evidence)
    if reference is None:
        raise ValueError("the reference attack needs reference models")
    target = tempered_confidence(evidence.logits, evidence.labels)
    beside = compared(target, reference.digest.typical_confidence, reference.trained_on)
    features = np.column_stack([beside, own_features(evidence)])
    return logistic_on(features, evidence.is_member, folds)
