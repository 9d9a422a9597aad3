"""Self-attention over the classes of an output: SAMIA on pruned models (Yuan and Zhang 2022).

Of their three inputs per class we use two: its confidence and whether it is the label. The third,
how far the confidence moves when the input is perturbed, needs several queries per image; every
attack here sees one output per image.

Notation: n images, k classes, r references, t tokens: the classes of largest probability.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.attacks.calibration import logistic_on
from trainables.attacks.digest import digested_references
from trainables.attacks.early_stopping import Recipe, Rows, train_early_stopped
from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.attacks.features import tempered
from trainables.attacks.folds import Folds
from trainables.attacks.tokens import FIELDS, ranked_tokens
from trainables.base.seeding import numpy_generator, seeded_torch, torch_generator

MOST_ROWS = 16_000
"""(reference, image) pairs to learn from; more take longer and add little."""

HIDDEN, HEADS, LAYERS, FORWARD = 32, 4, 1, 64
"""Half the published width and a third of its depth: on LeNet-5's outputs the full width gained
0.001 nats more and took one and a half times as long."""

RECIPE = Recipe(epochs=8, batch_size=256, learning_rate=2e-3, patience=2)

VALIDATION_SHARE = 0.2
"""Share of the images held out of training, in all references, for early stopping."""


class Samia(nn.Module):
    """Tokens of one output -> logit of membership."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.enter = nn.Linear(FIELDS, HIDDEN)
        self.rank = nn.Parameter(0.02 * torch.randn(tokens, HIDDEN))
        layer = nn.TransformerEncoderLayer(
            HIDDEN, HEADS, FORWARD, dropout=0.0, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.leave = nn.Sequential(
            nn.Linear(tokens * HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, t, FIELDS) -> (b,)."""
        mixed = self.encoder(functional.gelu(self.enter(tokens)) + self.rank)
        logits: Tensor = self.leave(mixed.flatten(1)).squeeze(1)
        return logits


def samia_attack(evidence: Evidence, folds: Folds, *, seed: int, device: torch.device) -> Floats:
    """(n,) held-out probabilities, learned on the references; the target's members only calibrate.

    Raises ValueError without references.
    """
    reference = digested_references(evidence)
    if reference is None:
        raise ValueError("SAMIA needs reference models")
    seen = torch.tensor(reference.digest.tokens)  # a copy: the object store's memory is read-only
    with seeded_torch(seed, "samia"):
        model = Samia(seen.shape[2]).to(device)
    _train(model, seen, reference.trained_on, seed)
    with torch.inference_mode():
        typical = tempered(evidence.logits, evidence.labels)
        tokens = torch.from_numpy(ranked_tokens(typical, evidence.labels)).to(device)
        parts = [model(part) for part in torch.split(tokens, 4096)]
    logits = torch.cat(parts).double().cpu().numpy()
    return logistic_on(logits[:, None], evidence.is_member, folds)


def _rows(trained_on: Bools, seed: int) -> tuple[Tensor, Tensor]:
    """Positions among the flat (r * n) rows to fit and to validate on; no image is in both."""
    generator = numpy_generator(seed, "samia-rows")
    references, images = trained_on.shape
    held = generator.permutation(images) < round(VALIDATION_SHARE * images)
    flat = generator.permutation(references * images)[:MOST_ROWS]
    validates = held[flat % images]
    return torch.from_numpy(flat[~validates]), torch.from_numpy(flat[validates])


def _train(model: Samia, tokens: Tensor, trained_on: Bools, seed: int) -> None:
    """Fit on the references' outputs; other images decide when to stop."""
    device = model.rank.device
    fit, validate = (part.to(device) for part in _rows(trained_on, seed))
    rows = Rows(
        inputs=(tokens.flatten(0, 1).to(device),),
        is_member=torch.from_numpy(trained_on.ravel().astype(np.float32)).to(device),
        fit=fit,
        validate=validate,
    )
    train_early_stopped(model, rows, RECIPE, torch_generator(seed, "samia-batches"))
