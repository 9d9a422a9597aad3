"""Means over seeds and images, their differences and ratios, with 95% intervals.

Notation: S seeds, v_x the variance from the finite number of images, v_s the variance between
seeds, nu effective degrees of freedom.

Why these intervals. All seeds of a confirmed vector are attacked on the same images, so the noise
of the images is common to them and averaging over seeds does not shrink it; the noise of training
does shrink. Hence Var(mean) = v_x + v_s / S. v_x is known from thousands of per-image terms, v_s
is estimated from two to five seeds and is itself uncertain, so the quantile is Student's with the
degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, Biometrics Bulletin 2:110; JCGM
100:2008, G.4): nu = (v_x + v_s / S)^2 / ((v_s / S)^2 / (S - 1)). v_s also holds whatever part of
the image noise differs between seeds, so the interval errs on the wide side. From a single seed
v_s is unknown: the interval then covers the images only, and the report says so.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its 95% interval; bounds are not clipped to the possible range."""

    estimate: float
    low: float
    high: float

    standard_error: float
    degrees_of_freedom: float = math.inf


def _quantile(degrees_of_freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, degrees_of_freedom))


def _effective_degrees(seed_variance: float, total_variance: float, seeds: int) -> float:
    if seeds < 2 or seed_variance == 0:
        return math.inf
    ratio = total_variance / seed_variance
    return ratio * ratio * (seeds - 1)  # `**` would raise where this is infinite


def mean_over_seeds(values: Sequence[float], standard_errors: Sequence[float]) -> Interval:
    """Mean of one figure over seeds; image noise does not shrink with seeds (module docstring).

    values: (S,). standard_errors: (S,), over images, one per seed.

    >>> round(mean_over_seeds([0.5, 0.5], [0.1, 0.1]).standard_error, 3)
    0.1
    """
    if len(values) == 0 or len(values) != len(standard_errors):
        raise ValueError(f"need one error per value, got {len(values)}, {len(standard_errors)}")
    seeds = len(values)
    estimate = float(np.mean(values))
    image_variance = float(np.mean(np.square(standard_errors)))
    seed_variance = float(np.var(values, ddof=1)) / seeds if seeds > 1 else 0.0
    degrees = _effective_degrees(seed_variance, image_variance + seed_variance, seeds)
    error = math.sqrt(image_variance + seed_variance)
    reach = _quantile(degrees) * error
    return Interval(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        standard_error=error,
        degrees_of_freedom=degrees,
    )


def accuracy_over_seeds(accuracies: Sequence[float], images: int) -> Interval:
    """Mean accuracy on the same images over seeds: Wilson's interval at the effective sample size.

    Wilson's interval (1927, JASA 22:209) stays in [0, 1] and holds near 1; the spread between seeds
    enters as a smaller number of images (Korn and Graubard 1998, Survey Methodology 24:193) and
    through the Student quantile. For the balanced accuracy of an attack `images` counts both
    halves; the variance of one proportion is then an upper bound, by concavity of p (1 - p).
    """
    if len(accuracies) == 0 or images < 1:
        raise ValueError(f"need accuracies and images, got {len(accuracies)} and {images}")
    seeds = len(accuracies)
    p = float(np.mean(accuracies))
    image_variance = p * (1 - p) / images
    seed_variance = float(np.var(accuracies, ddof=1)) / seeds if seeds > 1 else 0.0
    total = image_variance + seed_variance
    effective = images if seed_variance == 0 else images * image_variance / total
    degrees = _effective_degrees(seed_variance, total, seeds)
    q = _quantile(degrees)
    scale = 1 + q * q / effective
    centre = (p + q * q / (2 * effective)) / scale
    reach = q / scale * math.sqrt(p * (1 - p) / effective + (q / (2 * effective)) ** 2)
    return Interval(
        estimate=p,
        low=max(0.0, min(centre - reach, p)),  # exact but for rounding at p = 0 and p = 1
        high=min(1.0, max(centre + reach, p)),
        standard_error=math.sqrt(total),
        degrees_of_freedom=degrees,
    )


def difference(first: Interval, second: Interval) -> Interval:
    """First minus second, from their two intervals (Newcombe 1998, Stat. Med. 17:873, method 10).

    Keeps the skew of Wilson's intervals. The two are taken as independent; models attacked on the
    same images have errors that agree, which makes the true interval narrower.

    >>> a = Interval(estimate=0.6, low=0.57, high=0.63, standard_error=0.015)
    >>> b = Interval(estimate=0.5, low=0.46, high=0.54, standard_error=0.02)
    >>> round(difference(a, b).low, 3), round(difference(a, b).high, 3)
    (0.05, 0.15)
    """
    estimate = first.estimate - second.estimate
    return Interval(
        estimate=estimate,
        low=estimate - math.hypot(first.estimate - first.low, second.high - second.estimate),
        high=estimate + math.hypot(first.high - first.estimate, second.estimate - second.low),
        standard_error=math.hypot(first.standard_error, second.standard_error),
        degrees_of_freedom=min(first.degrees_of_freedom, second.degrees_of_freedom),
    )


def ratio(numerator: Interval, denominator: Interval) -> Interval:
    """Numerator over denominator by the delta method: Var(a/b) = (s_a^2 + (a/b)^2 s_b^2) / b^2.

    The two are taken as independent; they share images, which makes their errors agree and the
    true interval narrower. The linearisation needs a denominator well away from zero: where its
    own 95% interval reaches zero, the ratio is not bounded by the data and its interval is
    (-inf, inf), as Fieller (1954) would say. Nothing is clipped: the low end may be negative,
    which means that the numerator is not distinguishable from zero.
    """
    if denominator.low <= 0 <= denominator.high or math.isnan(denominator.low):
        estimate = math.nan
        if denominator.estimate != 0:
            estimate = numerator.estimate / denominator.estimate
        return Interval(estimate=estimate, low=-math.inf, high=math.inf, standard_error=math.inf)
    r = numerator.estimate / denominator.estimate
    parts = (
        (numerator.standard_error / denominator.estimate) ** 2,
        (r * denominator.standard_error / denominator.estimate) ** 2,
    )
    total = sum(parts)
    spread = (
        parts[0] ** 2 / numerator.degrees_of_freedom
        + parts[1] ** 2 / denominator.degrees_of_freedom
    )
    degrees = total**2 / spread if spread > 0 else math.inf
    reach = _quantile(degrees) * math.sqrt(total)
    return Interval(
        estimate=r,
        low=r - reach,
        high=r + reach,
        standard_error=math.sqrt(total),
        degrees_of_freedom=degrees,
    )
