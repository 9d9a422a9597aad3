"""The paper's f_A: the neural attack of Nasr et al. 2018 on (prediction, one-hot label)."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from trainables.attacks.balance import of_part, side_weights
from trainables.attacks.early_stopping import Recipe, Rows, train_early_stopped
from trainables.attacks.evidence import Evidence, Floats
from trainables.attacks.features import log_probabilities
from trainables.attacks.folds import Folds, cross_fit, inner_validation
from trainables.base.seeding import numpy_generator, seeded_torch, torch_generator
from trainables.models.membership import NeuralAttack

BATCH = 128
LEARNING_RATE = 1e-3
VALIDATION_SHARE = 0.2
"""Share of the training folds kept for early stopping and calibration, not of the scored fold."""

PATIENCE = 3
"""Epochs without a better validation loss before training stops: 653 k parameters soon memorise."""


def neural_attack(
    evidence: Evidence, folds: Folds, *, epochs: int, seed: int, device: torch.device
) -> Floats:
    """(n,) held-out probabilities, early-stopped and Platt-calibrated inside the training folds."""
    n_classes = evidence.logits.shape[1]
    predictions = torch.tensor(
        np.exp(log_probabilities(evidence.logits)), dtype=torch.float32, device=device
    )
    labels = functional.one_hot(
        torch.tensor(evidence.labels.astype(np.int64), device=device), n_classes
    ).float()
    targets = torch.tensor(evidence.is_member, dtype=torch.float32, device=device)
    weights = side_weights(evidence.is_member)
    each = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
    recipe = Recipe(epochs=epochs, batch_size=BATCH, learning_rate=LEARNING_RATE, patience=PATIENCE)

    def fit_and_score(train: NDArray[np.int64], scored: NDArray[np.int64]) -> Floats:
        purpose = f"neural-{scored[0]}-{len(scored)}"
        fit, validate = (
            torch.from_numpy(train[part]).to(device)
            for part in inner_validation(
                evidence.is_member[train],
                VALIDATION_SHARE,
                numpy_generator(seed, purpose),
                None if evidence.copies is None else evidence.copies[train],
            )
        )
        with seeded_torch(seed, purpose):
            model = NeuralAttack(n_classes)
        model.to(device)
        rows = Rows(
            inputs=(predictions, labels),
            is_member=targets,
            fit=fit,
            validate=validate,
            weights=each,
        )
        train_early_stopped(model, rows, recipe, torch_generator(seed, purpose))
        with torch.inference_mode():
            seen = model(predictions[validate], labels[validate]).double().cpu().numpy()
            held = torch.from_numpy(scored).to(device)
            unseen = model(predictions[held], labels[held]).double().cpu().numpy()
        checked = validate.cpu().numpy()
        return _platt(seen, evidence.is_member[checked], unseen, of_part(weights, checked))

    return cross_fit(folds, fit_and_score)


def _platt(
    seen: Floats, is_member: NDArray[np.bool_], unseen: Floats, weights: Floats | None
) -> Floats:
    """Probabilities of `unseen` logits by a logistic fit on `seen` ones (Platt 1999)."""
    scale = max(float(seen.std()), 1e-9)
    calibration = LogisticRegression(C=0.1)  # shrinks towards 0.5 where the logits carry no signal
    calibration.fit((seen / scale)[:, None], is_member, weights)
    probabilities: Floats = calibration.predict_proba((unseen / scale)[:, None])[:, 1]
    return probabilities
