"""RMIA (Zarifzadeh, Liu and Shokri 2024), offline: a likelihood ratio against the population.

Notation: x an audited image, z an image of the population, p(x) = p_y(x) of the target, Pr_out(x)
its mean over references that did not train on x; n images, r references, m population images.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from trainables.attacks.digest import digested_references
from trainables.attacks.evidence import Evidence, Floats
from trainables.attacks.features import log_own

OFFSET = 0.3
"""a in Pr(x) = ((1 + a) Pr_out(x) + (1 - a)) / 2: stands in for the IN references that the offline
form does not have; 0.3 is the value the authors use for CIFAR-10, where it matters little."""

GAMMA = 1.0
"""x counts as a member against z when its ratio exceeds z's by this factor."""


@dataclasses.dataclass(frozen=True)
class Population:
    """Outputs on images that neither the target nor any reference trained on."""

    target: NDArray[np.floating]
    """(m, k) logits."""

    reference: NDArray[np.floating]
    """(r, m, k) logits."""

    labels: NDArray[np.integer]
    """(m,)."""

    def __post_init__(self) -> None:
        if self.reference.shape[1:] != self.target.shape or self.labels.shape != (
            len(self.target),
        ):
            raise ValueError(
                f"population logits {self.target.shape}, of references {self.reference.shape} and "
                f"labels {self.labels.shape} do not fit"
            )


def log_ratio(log_target: Floats, log_out: Floats, offset: float = OFFSET) -> Floats:
    """Log p(x) / Pr(x), (n,).

    log_target: (n,) log p(x).  log_out: (n,) log Pr_out(x).  offset: a, in [0, 1).
    """
    prior = np.logaddexp(np.log((1 + offset) / 2) + log_out, np.log((1 - offset) / 2))
    result: Floats = log_target - prior
    return result


def share_exceeded(ratios: Floats, population: Floats, gamma: float = GAMMA) -> Floats:
    """(n,) share, in [0, 1], of the population whose ratio times gamma is below x's ratio.

    ratios: (n,) log ratios of x.  population: (m,) log ratios of z.
    """
    ranked = np.sort(population + np.log(gamma))
    result: Floats = np.searchsorted(ranked, ratios, side="left") / len(population)
    return result


def rmia_scores(evidence: Evidence, population: Population) -> Floats:
    """Scores (n,) in [0, 1]; higher means member.

    Raises ValueError without references.
    """
    reference = digested_references(evidence)
    if reference is None:
        raise ValueError("RMIA needs reference models")
    outside = np.where(reference.trained_on, -np.inf, reference.digest.log_own)
    log_out = logsumexp(outside, axis=0) - np.log((~reference.trained_on).sum(axis=0))
    others = np.stack([log_own(logits, population.labels) for logits in population.reference])
    log_others = logsumexp(others, axis=0) - np.log(len(others))
    return share_exceeded(
        log_ratio(log_own(evidence.logits, evidence.labels), log_out),
        log_ratio(log_own(population.target, population.labels), log_others),
    )
