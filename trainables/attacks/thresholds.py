"""Metric attacks (Song and Mittal 2021): a threshold per class, turned into probabilities.

Each metric is oriented so that higher means member.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.balance import of_part, side_weights
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import (
    correctness,
    entropy,
    modified_entropy,
    scaled_confidence,
)
from trainables.attacks.folds import Folds, cross_fit, splits

ENOUGH = 400
"""Training images that a class needs for its own threshold; rarer classes share the pooled one.

With 80 to 160 images per class, separate thresholds lost most of the gain on mnist5k.
"""

INNER_FOLDS = 2
"""Parts of the training images: one sets the thresholds, the other counts members beside them."""

SMOOTHING = 2.0
"""Pseudo-counts of members and non-members on each side of a threshold keep rates off 0 and 1."""

METRICS: dict[str, Callable[[Evidence], Floats]] = {
    "correctness": lambda e: correctness(e.logits, e.labels),
    "confidence": lambda e: scaled_confidence(e.logits, e.labels),
    "entropy": lambda e: -entropy(e.logits),
    "modified-entropy": lambda e: -modified_entropy(e.logits, e.labels),
}
"""Name -> (n,) score, higher for members."""


def best_threshold(scores: Floats, is_member: Bools) -> float:
    """The threshold of greatest balanced accuracy for "member iff score >= threshold".

    scores, is_member: (m,).
    """
    order = np.argsort(scores, kind="stable")
    ranked, members = scores[order], is_member[order]
    true_rate = members[::-1].cumsum()[::-1] / max(members.sum(), 1)
    false_rate = (~members)[::-1].cumsum()[::-1] / max((~members).sum(), 1)
    first_of_ties = np.r_[True, ranked[1:] != ranked[:-1]]
    advantage = np.where(first_of_ties, true_rate - false_rate, -np.inf)
    return float(ranked[advantage.argmax()])


def class_thresholds(scores: Floats, labels: NDArray[np.integer], is_member: Bools) -> Floats:
    """(classes,) thresholds; a class with too few images takes the pooled one."""
    pooled = best_threshold(scores, is_member)
    thresholds = np.full(int(labels.max()) + 1, pooled)
    for label in np.unique(labels):
        own = labels == label
        if own.sum() >= ENOUGH:
            thresholds[label] = best_threshold(scores[own], is_member[own])
    return thresholds


def called_members(
    scores: Floats,
    labels: NDArray[np.integer],
    is_member: Bools,
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Bools:
    """Whether each image of the second part is called a member by thresholds fitted on the first.

    scores, labels, is_member: (n,).  parts: positions.
    """
    fit, called = parts
    thresholds = np.full(int(labels.max()) + 1, best_threshold(scores[fit], is_member[fit]))
    own = class_thresholds(scores[fit], labels[fit], is_member[fit])
    thresholds[: len(own)] = own
    above: Bools = scores[called] >= thresholds[labels[called]]
    return above


def metric_attack(name: str, evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities: the smoothed share of members on the image's side.

    The share is counted on images that did not set the threshold: counted on those that did,
    ten thresholds would look better than they are.  Averaged over the inner folds.
    """
    scores = METRICS[name](evidence)
    labels, is_member = evidence.labels, evidence.is_member
    weights = side_weights(is_member)

    def fit_and_score(train: NDArray[np.int64], scored: NDArray[np.int64]) -> Floats:
        total = np.zeros(len(scored))
        for fit, counted in splits(_inner_folds(labels[train], is_member[train])):
            ours = train[counted]
            both = np.concatenate([ours, scored])
            above = called_members(scores, labels, is_member, (train[fit], both))
            for side in (True, False):
                beside = ours[above[: len(ours)] == side]
                total[above[len(ours) :] == side] += _smoothed_share(
                    is_member[beside], of_part(weights, beside)
                )
        return total / INNER_FOLDS

    return cross_fit(folds, fit_and_score)


def _smoothed_share(is_member: Bools, weights: Floats | None) -> float:
    if weights is None:
        return (int(is_member.sum()) + SMOOTHING) / (len(is_member) + 2 * SMOOTHING)
    return float((weights[is_member].sum() + SMOOTHING) / (weights.sum() + 2 * SMOOTHING))


def _inner_folds(labels: NDArray[np.integer], is_member: Bools) -> Folds:
    """The members and the non-members of each class, dealt in turn."""
    inner = np.empty(len(labels), dtype=np.int64)
    inner[np.lexsort((labels, is_member))] = np.arange(len(labels)) % INNER_FOLDS
    return inner
