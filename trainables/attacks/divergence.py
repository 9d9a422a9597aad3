"""Jensen-Shannon divergence of members' and non-members' outputs, estimated without any attack.

Eq. 10 says that the best attack's excess gain is 2 JS. This estimate trains nothing, so that the
two check each other: an excess gain far below 2 JS means that the attacks are weak, one far above
that the statistic taken here hides something.

Notation: n images, m members and k non-members, s one number an image, B bins, p_b and q_b the
shares of members and of non-members in bin b.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.balance import effective_images
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import scaled_confidence, tempered

PAIRS_PER_ROOT = 0.35
"""Pairs of bins / sqrt(n): 32 bins for 2,000 images; an even number, so that the median is an edge
and a full separation is seen whole. On ten dense LeNet-5 JS was 0.044 with 32 or 50 bins and 0.041
with 20; on two normals at most 2 apart the bias was at most 0.001 at n = 2,000."""


@dataclasses.dataclass(frozen=True, slots=True)
class Divergence:
    """JS in nats: 0 without a leak, log 2 for a full one; noise can push a value slightly outside.

    The error treats images as independent and excludes training noise; without a leak it is too
    wide by about a half.
    """

    value: float
    standard_error: float


def output_divergence(evidence: Evidence) -> Divergence:
    """JS of the scaled confidences of D and D': what one output reveals without references.

    At most the JS of the whole outputs (data processing inequality). On LeNet-5 nearest-neighbour
    estimates in two and three dimensions (with entropy and margin) found no more than this one.
    """
    labels = evidence.labels
    phi = scaled_confidence(tempered(evidence.logits, labels), labels)
    return jensen_shannon(phi, evidence.is_member)


def jensen_shannon(statistic: Floats, is_member: Bools) -> Divergence:
    """JS from a histogram over common quantiles, after Miller and Madow's correction.

    statistic, is_member: (n,).  JS is the entropy of the mixture of both shares less their own mean
    entropy; a plug-in entropy of B bins and n images is too small by (B - 1) / 2n to first order
    (Miller 1955), and that of the mixture of m and k images by (B - 1) (1 / m + 1 / k) / 8 where
    the leak is small.
    """
    sizes = int(is_member.sum()), int((~is_member).sum())
    bins = quantile_bins(statistic, bin_count(effective_images(*sizes)))
    counts = np.stack(
        [np.bincount(bins[side], minlength=bins.max() + 1) for side in (is_member, ~is_member)]
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    terms = np.log(np.where(shares > 0, shares, 1.0) / np.where(shares > 0, shares.mean(axis=0), 1))
    means = (shares * terms).sum(axis=1)
    variances = (shares * np.square(terms)).sum(axis=1) - np.square(means)
    own, mixed = (counts > 0).sum(axis=1).tolist(), int((counts.sum(axis=0) > 0).sum())
    m, k = sizes  # whole numbers until the one division
    excess = (2 * k * (own[0] - 1) + 2 * m * (own[1] - 1) - (m + k) * (mixed - 1)) / (8 * m * k)
    return Divergence(
        value=float(means.mean() - excess),
        standard_error=float(np.sqrt((variances / counts.sum(axis=1)).sum()) / 2),
    )


def bin_count(n: float) -> int:
    """B of n effective images, the same for all trials of a run."""
    return 2 * max(1, round(PAIRS_PER_ROOT * math.sqrt(n)))


def quantile_bins(statistic: Floats, count: int) -> NDArray[np.int64]:
    """(n,) bin of each value among `count` that are equally full but for ties.

    The edges do not depend on membership.
    """
    edges = np.unique(np.quantile(statistic, np.arange(1, count) / count))
    bins: NDArray[np.int64] = np.searchsorted(edges, statistic, side="right")
    return bins
