"""The one training loop of the attacks that are networks: early-stopped on held-out images."""

import copy
import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How long an attacking network is trained, and in which steps."""

    epochs: int
    """Passes over the fitted rows, at most."""

    batch_size: int
    learning_rate: float
    """Constant rate of Adam."""

    patience: int
    """Epochs without a better validation loss before training stops."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What an attacker learns from; all tensors lie on the network's device."""

    inputs: tuple[Tensor, ...]
    """The network's arguments, each (n, ...)."""

    is_member: Tensor
    """(n,) float32: 1 for a member, 0 for a non-member."""

    fit: Tensor
    """Positions that are trained on."""

    validate: Tensor
    """Positions whose loss decides when to stop; disjoint from `fit`."""

    weights: Tensor | None = None
    """(n,) float32 weight of each row in the loss; None weighs all alike."""


def train_early_stopped(
    model: nn.Module, rows: Rows, recipe: Recipe, generator: torch.Generator
) -> None:
    """Adam on binary cross-entropy; leaves the weights of the best validation loss.

    model: `rows.inputs` -> (b,) logits of membership.  generator: draws the order (CPU).
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    best, best_state, waited = math.inf, copy.deepcopy(model.state_dict()), 0
    for _ in range(recipe.epochs):
        order = torch.randperm(len(rows.fit), generator=generator).to(rows.fit.device)
        for batch in torch.split(rows.fit[order], recipe.batch_size):
            loss = _loss(model, rows, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.inference_mode():
            held_out = float(_loss(model, rows, rows.validate))
        waited += 1
        if held_out < best:
            best, best_state, waited = held_out, copy.deepcopy(model.state_dict()), 0
        if waited >= recipe.patience:
            break
    model.load_state_dict(best_state)


def _loss(model: nn.Module, rows: Rows, positions: Tensor) -> Tensor:
    logits = model(*(part[positions] for part in rows.inputs))
    weights = None if rows.weights is None else rows.weights[positions]
    return functional.binary_cross_entropy_with_logits(logits, rows.is_member[positions], weights)
