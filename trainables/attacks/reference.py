"""Matched references: image by image, is the target more like models that saw it or that did not?

LiRA (Carlini et al. 2022) with a fixed variance, as few references ask for: the scaled confidence
phi of an image is normal around mean_in over references that trained on it and around mean_out
over the others.  The references must be pruned like the target; dense ones miss half of the leak.
"""

import numpy as np

from trainables.attacks.calibrated import logistic_on, own_features
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import scaled_confidence, tempered
from trainables.attacks.folds import Folds

CLIP = 3.0
"""Log-likelihood ratios beyond this are model error, not evidence, with a handful of references."""


def reference_means(phi: Floats, trained_on: Bools) -> tuple[Floats, Floats]:
    """Mean scaled confidence of each image, IN and OUT.

    phi: (r, n).  trained_on: (r, n).  Returns two (n,).
    """
    inside = np.where(trained_on, phi, 0.0).sum(axis=0) / trained_on.sum(axis=0)
    outside = np.where(trained_on, 0.0, phi).sum(axis=0) / (~trained_on).sum(axis=0)
    return inside, outside


def pooled_variance(phi: Floats, side: Bools, means: Floats) -> float:
    """Unbiased variance around each image's own mean, pooled over images.

    Where no image has two references on this side, the variance over images stands in: too large,
    so the likelihood ratios are cautious.

    phi: (r, n).  side: (r, n), the references that count.  means: (n,).
    """
    if side.sum(axis=0).max() < 2:
        return float(max(means.var(), 1e-12))
    squares = np.where(side, np.square(phi - means), 0.0)
    freedom = np.maximum(side.sum(axis=0) - 1, 0).sum()
    return float(max(squares.sum() / freedom, 1e-12))


def log_likelihood_ratio(target: Floats, phi: Floats, trained_on: Bools) -> Floats:
    """Log N(target; mean_in, var_in) - log N(target; mean_out, var_out), (n,); higher is member.

    target: (n,) scaled confidence of the target.  phi, trained_on: (r, n) of the references.
    """
    inside, outside = reference_means(phi, trained_on)
    var_in = pooled_variance(phi, trained_on, inside)
    var_out = pooled_variance(phi, ~trained_on, outside)
    log_in = -0.5 * np.log(var_in) - np.square(target - inside) / (2 * var_in)
    log_out = -0.5 * np.log(var_out) - np.square(target - outside) / (2 * var_out)
    ratio: Floats = log_in - log_out
    return ratio


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
    inside, outside = reference_means(phi, reference.trained_on)
    ratio = log_likelihood_ratio(target, phi, reference.trained_on)
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
