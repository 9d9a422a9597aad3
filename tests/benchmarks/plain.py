"""One trial as a competent user writes it from the paper, without this project.

A DataLoader, a dense training of its own, ADMM with a loop over the layers (eq. 2; Zhang et al.
2018), f_A for 50 epochs (Nasr et al. 2018) whose gain (eq. 1) is measured on images that it did not
see.  The epochs are those of our recipe, so that both see equally many images; the rates are Adam's
usual ones.
"""

import copy
import dataclasses
import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epochs:
    """Passes over the members, and over the attacker's images."""

    dense: int
    admm: int
    between_updates: int
    """Epochs of the W-step between two updates of Z and U."""

    retraining: int
    attack: int = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainTrial:
    """What one trial leaves."""

    model: nn.Module
    attack_gain: float
    """Eq. 1 on the held-out half of D and D', nats; at its best epoch it would not be held out."""


def plain_trial(
    network: nn.Module,
    members: TensorDataset,
    others: TensorDataset,
    n: dict[str, int],
    epochs: Epochs,
) -> PlainTrial:
    """Train, prune to {n_i}, retrain and attack. members, others: D and D', images and labels.

    n: parameter name -> allowed non-zero weights.
    """
    loader = DataLoader(members, batch_size=32, shuffle=True)
    train(network, loader, epochs.dense)
    model = copy.deepcopy(network)
    masks = prune_by_admm(model, loader, n, epochs)
    train(model, loader, epochs.retraining, masks)
    return PlainTrial(model=model, attack_gain=attack_gain(model, members, others, epochs.attack))


def train(
    model: nn.Module, loader: DataLoader, epochs: int, masks: dict[str, Tensor] | None = None
) -> None:
    """Adam on the cross-entropy; pruned weights stay zero."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            if masks is not None:
                apply(model, masks)


def prune_by_admm(
    model: nn.Module, loader: DataLoader, n: dict[str, int], epochs: Epochs, rho: float = 1e-2
) -> dict[str, Tensor]:
    """ADMM towards {n_i}, then the hard prune; the masks of what is left."""
    weights = {name: weight for name, weight in model.named_parameters() if name in n}
    sparse = {name: largest(weight.detach(), n[name]) for name, weight in weights.items()}
    dual = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for epoch in range(epochs.admm):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            for name, weight in weights.items():
                loss = loss + rho / 2 * torch.norm(weight - sparse[name] + dual[name]) ** 2
            loss.backward()
            optimizer.step()
        if (epoch + 1) % epochs.between_updates == 0:
            for name, weight in weights.items():
                sparse[name] = largest(weight.detach() + dual[name], n[name])
                dual[name] = dual[name] + weight.detach() - sparse[name]
    masks = {name: largest(weight.detach(), n[name]) != 0 for name, weight in weights.items()}
    apply(model, masks)
    return masks


def largest(weight: Tensor, count: int) -> Tensor:
    """The `count` largest weights; the others are zero."""
    flat = weight.flatten()
    kept = torch.zeros_like(flat)
    order = flat.abs().argsort(descending=True)[:count]
    kept[order] = flat[order]
    return kept.view_as(weight)


def apply(model: nn.Module, masks: dict[str, Tensor]) -> None:
    """Set pruned weights to zero."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in masks:
                weight.mul_(masks[name])


class MembershipNetwork(nn.Module):
    """f_A on the prediction and the one-hot label."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.prediction = layers(classes, 1024, 512, 64)
        self.label = layers(classes, 128, 64)
        self.joined = nn.Sequential(layers(128, 256, 128, 64), nn.Linear(64, 1))

    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """(b, k) twice -> (b,) logits of membership."""
        both = torch.cat([self.prediction(prediction), self.label(label)], dim=1)
        return self.joined(both).squeeze(1)


def layers(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLUs."""
    return nn.Sequential(
        *(
            layer
            for inputs, outputs in pairwise(sizes)
            for layer in (nn.Linear(inputs, outputs), nn.ReLU())
        )
    )


def attack_gain(
    model: nn.Module, members: TensorDataset, others: TensorDataset, epochs: int
) -> float:
    """Eq. 1 of f_A on the half of D and D' on which it was not trained, nats."""
    model.eval()
    fit, held = [], []
    with torch.no_grad():
        for inside, data in ((1.0, members), (0.0, others)):
            images, labels = data.tensors
            prediction = functional.softmax(model(images), dim=1)
            label = functional.one_hot(labels, prediction.shape[1]).float()
            rows = (prediction, label, torch.full((len(labels),), inside))
            order = torch.randperm(len(labels))
            middle = len(labels) // 2
            fit.append([column[order[:middle]] for column in rows])
            held.append([column[order[middle:]] for column in rows])
    network = MembershipNetwork(fit[0][0].shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    rows = TensorDataset(*(torch.cat(column) for column in zip(*fit, strict=True)))
    for _ in range(epochs):
        for prediction, label, inside in DataLoader(rows, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            logits = network(prediction, label)
            functional.binary_cross_entropy_with_logits(logits, inside).backward()
            optimizer.step()
    with torch.no_grad():
        inside, outside = (network(*rows[:2]) for rows in held)
    found = functional.logsigmoid(inside).mean() + functional.logsigmoid(-outside).mean()
    return max(float(found), -math.log(4))  # whoever sees that it lost guesses instead
