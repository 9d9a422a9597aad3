"""Matched references: image by image, is the target more like models that saw it or that did not?

LiRA (Carlini et al. 2022) with a fixed variance, as few references ask for: the scaled confidence
phi of an image is normal around mean_in over references that trained on it and around mean_out
over the others.  The references must be pruned like the target; dense ones miss half of the leak.
"""

import numpy as np

from trainables.attacks.calibrated import logistic_on, own_features
from trainables.attacks.evidence import Evidence, Floats
from trainables.attacks.features import scaled_confidence, tempered
from trainables.attacks.folds import Folds
from trainables.attacks.lira import online, side_means

CLIP = 3.0
"""Log-likelihood ratios beyond this are model error, not evidence, with a handful of references."""


def matched_references(evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities from the likelihood ratio and the target's own features."""
    reference = evidence.reference
    if reference is None:
        raise ValueError("the reference attack needs reference models")
    labels = evidence.labels
    target, *others = (
        scaled_confidence(tempered(logits, labels), labels)
        for logits in (evidence.logits, *reference.logits)
    )
    phi = np.stack(others)
    inside, outside = side_means(phi, reference.trained_on)
    ratio = online(target, phi, reference.trained_on)
    features = np.column_stack(
        [
            np.clip(ratio, -CLIP, CLIP),
            ratio / (1 + np.abs(ratio)),
            target - outside,  # the offline form
            inside - outside,
            outside,
            own_features(evidence),
        ]
    )
    return logistic_on(features, evidence.is_member, folds)
