"""LiRA (Carlini et al. 2022): is the target more like models that saw an image, or that did not?

Notation: phi = log p_y - log(1 - p_y), the scaled confidence, close to normal over trainings;
n images, r reference models, an image is IN a reference that trained on it. Scores are
log-likelihood ratios or log-probabilities: higher means member.
"""

import numpy as np
from scipy.stats import norm

from trainables.attacks.evidence import Bools, Floats

FEWEST = 2
"""References needed on each side to estimate a variance for a single image."""


def side_means(phi: Floats, trained_on: Bools) -> tuple[Floats, Floats]:
    """Mean scaled confidence of each image, IN and OUT.

    phi: (r, n).  trained_on: (r, n).  Returns two (n,).
    """
    inside = np.where(trained_on, phi, 0.0).sum(axis=0) / trained_on.sum(axis=0)
    outside = np.where(trained_on, 0.0, phi).sum(axis=0) / (~trained_on).sum(axis=0)
    return inside, outside


def pooled_variance(phi: Floats, side: Bools, means: Floats) -> float:
    """Unbiased variance around each image's own mean, pooled over images ("fixed variance").

    Where no image has two references on this side, the variance over images stands in: too large,
    so the likelihood ratios are cautious.

    phi: (r, n).  side: (r, n), the references that count.  means: (n,).
    """
    if side.sum(axis=0).max() < FEWEST:
        return float(max(means.var(), 1e-12))
    squares = np.where(side, np.square(phi - means), 0.0)
    freedom = np.maximum(side.sum(axis=0) - 1, 0).sum()
    return float(max(squares.sum() / freedom, 1e-12))


def own_variance(phi: Floats, side: Bools, means: Floats) -> Floats:
    """Unbiased variance of each image, (n,). Raises ValueError where an image has one reference.

    phi: (r, n).  side: (r, n), the references that count.  means: (n,).
    """
    count = side.sum(axis=0)
    if count.min() < FEWEST:
        raise ValueError("a variance needs two references on each side")
    squares = np.where(side, np.square(phi - means), 0.0).sum(axis=0)
    variances: Floats = np.maximum(squares / (count - 1), 1e-12)
    return variances


def online(
    target: Floats, phi: Floats, trained_on: Bools, *, fixed_variance: bool = True
) -> Floats:
    """Log N(target; mean_in, var_in) - log N(target; mean_out, var_out), (n,) (Algorithm 1).

    target: (n,) scaled confidence of the target.  phi, trained_on: (r, n) of the references.
    """
    inside, outside = side_means(phi, trained_on)
    variance = pooled_variance if fixed_variance else own_variance
    deviations = (
        np.sqrt(variance(phi, trained_on, inside)),
        np.sqrt(variance(phi, ~trained_on, outside)),
    )
    log_in = norm.logpdf(target, inside, deviations[0])
    return np.asarray(log_in - norm.logpdf(target, outside, deviations[1]))


def offline(
    target: Floats, phi: Floats, trained_on: Bools, *, fixed_variance: bool = True
) -> Floats:
    """Log P(N(mean_out, var_out) <= target), (n,): OUT references only.

    target: (n,).  phi, trained_on: (r, n); references that trained on an image are ignored for it.
    """
    _, outside = side_means(phi, trained_on)
    variance = pooled_variance if fixed_variance else own_variance
    deviation = np.sqrt(variance(phi, ~trained_on, outside))
    return np.asarray(norm.logcdf(target, outside, deviation))
