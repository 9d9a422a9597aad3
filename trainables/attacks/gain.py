"""The attack gain of eq. 1 on held-out images, and its standard error."""

import dataclasses
import math

import numpy as np
from scipy import stats

from trainables.attacks.evidence import Bools, Floats

NO_LEAK = -math.log(4)
"""Gain of the constant 0.5: what is left when outputs say nothing about membership (eq. 10)."""

FLOOR = 1e-3
"""Probabilities are kept in [FLOOR, 1 - FLOOR]: one confident mistake must not be infinite, and a
fully memorised model can still come within 0.002 nats of a full leak."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gain:
    """G in nats; the error treats images as independent and holds no training noise."""

    value: float
    standard_error: float


def gain_terms(probabilities: Floats, is_member: Bools) -> Floats:
    """Per image: log f_A of a member, log(1 - f_A) of a non-member.

    probabilities: (n,) held-out probabilities of membership.  Returns (n,).
    """
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # also true of NaN
        raise ValueError("an attack gave values that are not probabilities")
    kept = np.clip(probabilities.astype(np.float64), FLOOR, 1 - FLOOR)
    return np.where(is_member, np.log(kept), np.log1p(-kept))


def gain_of_terms(terms: Floats, is_member: Bools) -> Gain:
    """E_D log f_A + E_D' log(1 - f_A) and its standard error."""
    halves = terms[is_member], terms[~is_member]
    value = sum(float(half.mean()) for half in halves)
    variance = sum(float(half.var(ddof=1)) / len(half) for half in halves)
    return Gain(value, math.sqrt(variance))


def least_visible(members: int, non_members: int) -> float:
    """The least excess gain, in nats, whose own 95% interval excludes zero; inf without images.

    With a leak of x nats the best attack's probabilities are on average sqrt(x) / 2 from 1/2, so
    that each image's term of eq. 1 scatters by sqrt(x), to first order in x: the standard error
    is sqrt(x (1 / m + 1 / k)), and x becomes distinguishable from zero at q^2 (1 / m + 1 / k).
    Attacks that found exactly nothing have a standard error of zero, which says nothing about
    their power.

    >>> round(least_visible(1000, 1000), 4)
    0.0077
    """
    if members < 1 or non_members < 1:
        return math.inf
    return reach(1.0) ** 2 * (1 / members + 1 / non_members)


def reach(standard_error: float) -> float:
    """Half the width of a 95% interval, normal over thousands of images.

    >>> round(reach(1.0), 2)
    1.96
    """
    return float(stats.norm.ppf(0.975)) * standard_error


def attack_gain(probabilities: Floats, is_member: Bools) -> Gain:
    """Eq. 1 on held-out images, in nats: 0 is a full leak, NO_LEAK none.

    probabilities, is_member: (n,).  Equals minus twice the cross-entropy when D and D' are equally
    many.

    >>> round(attack_gain(np.full(4, 0.5), np.array([True, True, False, False])).value, 3)
    -1.386
    """
    return gain_of_terms(gain_terms(probabilities, is_member), is_member)
