"""The attacker who knows the defence: it learns membership on models made like the target.

Every reference plays the target in turn and is compared with the other references, so that the
attack learns from r * n known memberships (Shokri et al. 2017, with the defended models of Yuan and
Zhang 2022 as shadows). The target's own members serve only to calibrate it.

Notation: n images, r references, d features.
"""

from weakref import WeakKeyDictionary

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from trainables.attacks.calibration import logistic_on, own_features
from trainables.attacks.digest import digested_references
from trainables.attacks.evidence import Bools, DigestedReferences, Evidence, Floats
from trainables.attacks.folds import Folds
from trainables.attacks.one_thread import one_thread
from trainables.attacks.reference import compared, tempered_confidence

FEWEST_COMPARED = 4
"""With fewer references a stand-in target would leave most images without one on each side."""


def adaptive(evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities: the scores calibrated on the target's other folds.

    Raises ValueError without references.
    """
    return logistic_on(adaptive_scores(evidence)[:, None], evidence.is_member, folds)


@one_thread
def adaptive_scores(evidence: Evidence) -> Floats:
    """(n,) log-odds of trees that were fitted on the references alone.

    On ten dense LeNet-5 with eight references it gained 0.135 nats (standard deviation 0.008) where
    `matched_references` gained 0.111 (0.010) and the target's own outputs 0.083.

    Raises ValueError without references.
    """
    reference = digested_references(evidence)
    if reference is None:
        raise ValueError("the adaptive attack needs reference models")
    trees = _taught(reference)
    scores: Floats = trees.decision_function(target_features(evidence, reference))
    return scores


def _taught(reference: DigestedReferences) -> HistGradientBoostingClassifier:
    """The trees of these references; all trials of a search learn from the same."""
    if reference not in _TAUGHT:
        features, trained_on = lessons(reference)
        _TAUGHT[reference] = HistGradientBoostingClassifier(
            max_iter=100,
            learning_rate=0.06,
            max_leaf_nodes=7,
            min_samples_leaf=100,
            l2_regularization=10.0,
            early_stopping=False,
            random_state=0,  # only draws the rows that set the bins, beyond 200,000
        ).fit(features, trained_on)
    return _TAUGHT[reference]


_TAUGHT: WeakKeyDictionary[DigestedReferences, HistGradientBoostingClassifier] = WeakKeyDictionary()


def lessons(reference: DigestedReferences) -> tuple[Floats, Bools]:
    """Features (m, d) and membership (m,) of every reference as the target of the others.

    m <= r * n: an image that only one reference has on a side cannot be compared without it.
    """
    references = len(reference.trained_on)
    phi = reference.digest.typical_confidence
    features, trained_on = [], []
    for each in range(references):
        own = reference.digest.features[each]
        sides = np.delete(reference.trained_on, each, axis=0)
        kept: Bools = np.ones(phi.shape[1], dtype=np.bool_)
        if references >= FEWEST_COMPARED:
            kept = np.logical_and(sides.any(axis=0), ~sides.all(axis=0))
            others = np.delete(phi, each, axis=0)[:, kept]
            beside = compared(phi[each, kept], others, sides[:, kept])
            own = np.column_stack([beside, own[kept]])
        features.append(own)
        trained_on.append(reference.trained_on[each, kept])
    return np.concatenate(features), np.concatenate(trained_on)


def target_features(evidence: Evidence, reference: DigestedReferences) -> Floats:
    """(n, d) features of the target, in the columns of `lessons`."""
    own = own_features(evidence)
    if len(reference.trained_on) < FEWEST_COMPARED:
        return own
    target = tempered_confidence(evidence.logits, evidence.labels)
    phi = reference.digest.typical_confidence
    return np.column_stack([compared(target, phi, reference.trained_on), own])
