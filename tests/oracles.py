"""Leaks of known size: two normals, what the best attack finds of them, what a weaker one can."""

import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from trainables.attacks.evidence import Evidence, ReferenceEvidence


def pairs(references, n, generator):
    """(references, n): one reference trained on a half of the images, the next on the rest."""
    halves = [generator.permutation(n) < n // 2 for _ in range(references // 2)]
    return np.array([side for half in halves for side in (half, ~half)])


def two_normals(shift, *, start=0.0, spread=0.0, references=8, n=1500, seed=0, members=1 / 2):
    """Two classes; the label's log-odds are N(mean of the image + shift IN, 1) over trainings.

    start, spread: of the images' means; without a spread references add nothing to what one output
    says.  members: their share of the n images.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    is_member = generator.permutation(n) < int(n * members)
    means = start + spread * generator.normal(size=n)
    trained_on = pairs(references, n, generator)

    def outputs(inside):
        phi = means + generator.normal(size=n) + shift * inside
        return phi[:, None] * (np.eye(2)[labels] - 0.5)

    target = outputs(is_member)
    return Evidence(
        target,
        labels,
        is_member,
        ReferenceEvidence(np.stack([outputs(inside) for inside in trained_on]), trained_on),
    )


def twice_js(shift, deviation=1.0):
    """2 JS of N(shift, deviation^2) and N(0, 1), by quadrature: the best excess gain (eq. 10)."""

    def term(x):
        log_p, log_q = norm.logpdf(x, shift, deviation), norm.logpdf(x)
        log_mean = np.logaddexp(log_p, log_q) - math.log(2)
        return math.exp(log_p) * (log_p - log_mean) + math.exp(log_q) * (log_q - log_mean)

    return quad(term, -8, 8 + shift, points=[0, shift], limit=200)[0]


def twice_js_of_coins(p, q):
    """2 JS of a yes that a member gives with probability p, a non-member with q."""

    def term(a, b):
        return a * math.log(2 * a / (a + b)) if a > 0 else 0.0

    return term(p, q) + term(q, p) + term(1 - p, 1 - q) + term(1 - q, 1 - p)


def high(threshold, mean):
    """P(N(mean, 1) >= threshold): what a threshold on phi asks."""
    return norm.sf(threshold - mean)


def far_from_zero(threshold, mean):
    """P(|N(mean, 1)| >= threshold): what a threshold on the entropy of two classes asks."""
    return norm.sf(threshold - mean) + norm.cdf(-threshold - mean)


def twice_js_at_best_threshold(share, start, shift):
    """2 JS of "score >= t" at the t of greatest advantage.

    share: (t, mean of phi) -> probability that the score reaches t.
    """

    def disadvantage(threshold):
        return share(threshold, start) - share(threshold, start + shift)

    grid = np.linspace(start - 8, start + shift + 8, 2001)
    near = grid[np.argmin(disadvantage(grid))]
    best = minimize_scalar(disadvantage, bounds=(near - 0.1, near + 0.1), method="bounded").x
    return twice_js_of_coins(share(best, start + shift), share(best, start))
