"""What the attacks look at, computed from logits without overflow; float64 throughout.

Notation: p_y probability of the true label, p_j of class j.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from trainables.attacks.evidence import Floats

TOP = 3
"""How many of the largest probabilities a learned attack sees."""

TYPICAL_MARGIN = 12.0
"""Median absolute margin that the learned attacks see; close to that of an overfit LeNet-5."""


def log_probabilities(logits: NDArray[np.floating]) -> Floats:
    """(n, k) logits -> (n, k) log softmax, float64."""
    result: Floats = log_softmax(logits.astype(np.float64), axis=1)
    return result


def tempered(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """(n, k) logits times the factor that gives their margins the typical size.

    Logits multiplied by a constant classify alike and leak alike, but bend the features: a model
    could look private by its temperature.  The factor does not depend on membership.
    """
    wide = logits.astype(np.float64)
    rows = np.arange(len(labels))
    others = wide.copy()
    others[rows, labels] = -np.inf
    size = float(np.median(np.abs(wide[rows, labels] - others.max(axis=1))))
    result: Floats = wide * (TYPICAL_MARGIN / size) if size > 0 else wide
    return result


def correctness(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """(n,) 1 where the label has the largest logit, else 0."""
    right: Floats = (logits.argmax(axis=1) == labels).astype(np.float64)
    return right


def scaled_confidence(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Log p_y - log(1 - p_y), (n,): close to normal over trainings (Carlini et al. 2022, eq. 3)."""
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    own = others[rows, labels]  # a copy: indexing with arrays
    others[rows, labels] = -np.inf
    result: Floats = own - logsumexp(others, axis=1)
    return result


def entropy(logits: NDArray[np.floating]) -> Floats:
    """- sum_j p_j log p_j, (n,) in nats."""
    log_p = log_probabilities(logits)
    result: Floats = -(np.exp(log_p) * log_p).sum(axis=1)
    return result


def modified_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """-(1 - p_y) log p_y - sum_{j != y} p_j log(1 - p_j), (n,) (Song and Mittal 2021, eq. 8)."""
    rows = np.arange(len(labels))
    log_p = log_probabilities(logits)
    p = np.exp(log_p)
    log_others = np.log1p(-np.minimum(p, 0.75))  # exact below; at most one is above
    first = logits.argmax(axis=1)
    log_others[rows, first] = _log_rest(logits, first)
    own = -np.exp(_log_rest(logits, labels)) * log_p[rows, labels]
    products = p * log_others
    products[rows, labels] = 0.0
    result: Floats = own - products.sum(axis=1)
    return result


def log_own(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Log p_y of (n, k) logits, (n,)."""
    result: Floats = log_probabilities(logits)[np.arange(len(labels)), labels]
    return result


def _log_rest(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """log(1 - p_y), (n,), exact where p_y rounds to 1."""
    return -np.logaddexp(0.0, scaled_confidence(logits, labels))


def shared_features(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """(n, 9 + min(TOP, k)) features of the learned attacks; none depends on membership.

    The scaled confidence comes bent in several ways so that a linear model can follow a
    likelihood ratio that is steep near the decision and flat far from it.
    """
    phi = scaled_confidence(logits, labels)
    log_p = np.sort(log_probabilities(logits), axis=1)[:, ::-1]
    tops = np.exp(log_p[:, : min(TOP, log_p.shape[1])])
    columns = [
        phi,
        np.tanh(phi / 4),
        np.minimum(phi, 5.0),
        np.abs(phi),
        np.logaddexp(0.0, -phi),  # the loss
        entropy(logits),
        np.log(modified_entropy(logits, labels) + 1e-6),
        correctness(logits, labels),
        log_p[:, 0] - log_p[:, 1],  # margin
        *tops.T,
    ]
    return np.column_stack(columns)
