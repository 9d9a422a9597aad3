"""Learned attacks on the shared features: a logistic model and boosted trees, calibrated."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainables.attacks.balance import of_part, side_weights
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import shared_features, tempered
from trainables.attacks.folds import Folds, cross_fit
from trainables.attacks.one_thread import one_thread

INVERSE_PENALTY = 0.3
"""C of the logistic models: slight shrinkage, so that a model without a leak yields no gain."""

BINS = 255
"""Values of a feature that trees tell apart, scikit-learn's own most."""

INNER_FOLDS = 3
"""Parts of the training folds on which the trees' probabilities are calibrated."""


def logistic_on(features: Floats, is_member: Bools, folds: Folds) -> Floats:
    """(n,) held-out probabilities of a penalised logistic model; calibrated by its own loss.

    features: (n, d).
    """
    weights = side_weights(is_member)

    def fit_and_score(train: NDArray[np.int64], scored: NDArray[np.int64]) -> Floats:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
        )
        model.fit(
            features[train],
            is_member[train],
            logisticregression__sample_weight=of_part(weights, train),
        )
        probabilities: Floats = model.predict_proba(features[scored])[:, 1]
        return probabilities

    return cross_fit(folds, fit_and_score)


def own_features(evidence: Evidence) -> Floats:
    """(n, d) features of the target's outputs at the typical temperature."""
    labels = evidence.labels
    return shared_features(tempered(evidence.logits, labels), labels)


def quantile_codes(features: Floats) -> Floats:
    """(n, d) features as the numbers of their quantiles, which trees split alike.

    With weights scikit-learn looks for its bins one quantile at a time, which took 9 s of 10,000
    images instead of 0.6; of few distinct values it looks for none.  Membership plays no part.
    """
    shares = np.arange(1, BINS) / BINS
    edges = (np.unique(np.quantile(column, shares)) for column in features.T)
    codes = [
        np.searchsorted(edge, column, side="right")
        for edge, column in zip(edges, features.T, strict=True)
    ]
    return np.column_stack(codes).astype(np.float64)


def logistic(evidence: Evidence, folds: Folds) -> Floats:
    """(n,) held-out probabilities from the target's outputs alone."""
    return logistic_on(own_features(evidence), evidence.is_member, folds)


@one_thread
def boosted(evidence: Evidence, folds: Folds, seed: int) -> Floats:
    """(n,) held-out probabilities of small boosted trees, Platt-calibrated on inner folds."""
    features, weights = own_features(evidence), side_weights(evidence.is_member)
    if weights is not None:
        features = quantile_codes(features)

    def inner_folds(train: NDArray[np.int64]) -> int | Iterable[Any]:
        if evidence.copies is None:
            return INNER_FOLDS
        grouped = StratifiedGroupKFold(INNER_FOLDS)
        return list(grouped.split(train, evidence.is_member[train], evidence.copies[train]))

    def fit_and_score(train: NDArray[np.int64], scored: NDArray[np.int64]) -> Floats:
        trees = HistGradientBoostingClassifier(
            max_iter=40,
            learning_rate=0.06,
            max_leaf_nodes=3,
            min_samples_leaf=40,
            l2_regularization=10.0,
            early_stopping=False,
            random_state=seed % 2**32,
        )
        model = CalibratedClassifierCV(trees, method="sigmoid", cv=inner_folds(train))
        model.fit(features[train], evidence.is_member[train], of_part(weights, train))
        probabilities: Floats = model.predict_proba(features[scored])[:, 1]
        return probabilities

    return cross_fit(folds, fit_and_score)
