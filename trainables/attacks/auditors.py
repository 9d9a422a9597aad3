"""The audits by name: scores of every image under today's strongest published attacks."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from trainables.attacks import lira
from trainables.attacks.calibration import logistic_on
from trainables.attacks.digest import digested, digested_references
from trainables.attacks.evidence import DigestedReferences, Evidence, Floats
from trainables.attacks.features import log_own, scaled_confidence
from trainables.attacks.folds import Folds
from trainables.attacks.reference import CLIP
from trainables.attacks.rmia import Population, rmia_scores
from trainables.attacks.shadow import adaptive_scores
from trainables.records import ADAPTIVE

FEW = (2, 4)
"""Reference counts at which RMIA runs beside LiRA; its authors recommend it for such small ones."""

Auditor = Callable[[Evidence, Population], dict[str, Floats]]


def _lira(evidence: Evidence, population: Population) -> dict[str, Floats]:
    reference = digested_references(evidence)
    if reference is None:
        raise ValueError("LiRA needs reference models")
    target = scaled_confidence(evidence.logits, evidence.labels)
    phi = reference.digest.confidence
    sides = reference.trained_on
    scores = {
        "lira-online": lira.online(target, phi, sides),
        "lira-offline": lira.offline(target, phi, sides),
    }
    if min(sides.sum(axis=0).min(), (~sides).sum(axis=0).min()) >= lira.FEWEST:
        scores["lira-online-own-variance"] = lira.online(target, phi, sides, fixed_variance=False)
    scores[ADAPTIVE] = adaptive_scores(evidence)
    for count in FEW:
        some = DigestedReferences(reference.digest.first(count), sides[:count])
        scores |= _by_population(
            dataclasses.replace(evidence, reference=some),
            Population(population.target, population.reference[:count], population.labels),
        )
    return scores


def _rmia(evidence: Evidence, population: Population) -> dict[str, Floats]:
    return {**_by_population(evidence, population), ADAPTIVE: adaptive_scores(evidence)}


def _by_population(evidence: Evidence, population: Population) -> dict[str, Floats]:
    return {
        f"rmia-{len(population.reference)}": rmia_scores(evidence, population),
        "loss": log_own(evidence.logits, evidence.labels),
    }


AUDITORS: dict[str, Auditor] = {"lira": _lira, "rmia": _rmia}
"""Audit -> its attacks. `lira` also scores RMIA on its first references; `adaptive` learns from all
of them; `loss`, one threshold for all images, shows what references add."""


def audit_scores(kind: str, evidence: Evidence, population: Population) -> dict[str, Floats]:
    """Attack -> (n,) scores of every audited image, higher means member.

    Raises KeyError for an unknown kind and ValueError without references.
    """
    return AUDITORS[kind](digested(evidence), population)


def calibrated_score(scores: Floats, evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities of membership from one score, by a logistic model of its shape.

    scores: (n,).  The features hold ranks beside the score, as no outlier may set the slope,
    and both ends of the ranks separately: without the low end, where the certain non-members lie,
    audits of ten LeNet-5 gained up to a half less.
    """
    ranks = rankdata(scores) / len(scores) - 0.5
    scale = max(float(np.median(np.abs(scores))), 1e-12)
    features = np.column_stack(
        [
            ranks,
            ranks**3,
            np.maximum(ranks, 0.4),
            np.minimum(ranks, -0.4),
            np.tanh(scores / scale),
            np.clip(scores, -CLIP, CLIP),  # where the score is a log-likelihood ratio already
        ]
    )
    return logistic_on(features, evidence.is_member, folds)
