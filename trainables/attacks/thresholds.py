"""Metric attacks (Song and Mittal 2021): a threshold per class, turned into probabilities.

Each metric is oriented so that higher means member.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import (
    correctness,
    entropy,
    modified_entropy,
    scaled_confidence,
)
from trainables.attacks.folds import Folds, cross_fit

ENOUGH = 100
"""Training images a class needs for a threshold of its own; rarer classes share the pooled one."""

SMOOTHING = 2.0
"""Imaginary members and non-members on each side of a threshold: no rate is ever 0 or 1."""

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


def metric_attack(name: str, evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities: the smoothed share of members on the image's side."""
    scores = METRICS[name](evidence)
    labels, is_member = evidence.labels, evidence.is_member

    def fit_and_score(train: NDArray[np.int64], scored: NDArray[np.int64]) -> Floats:
        thresholds = np.full(int(labels.max()) + 1, best_threshold(scores[train], is_member[train]))
        own = class_thresholds(scores[train], labels[train], is_member[train])
        thresholds[: len(own)] = own
        above = scores >= thresholds[labels]
        probabilities = np.empty(len(scored))
        for side in (True, False):
            fitted = is_member[train][above[train] == side]
            rate = (fitted.sum() + SMOOTHING) / (len(fitted) + 2 * SMOOTHING)
            probabilities[above[scored] == side] = rate
        return probabilities

    return cross_fit(folds, fit_and_score)
