"""A grammar of networks for 1 x 8 x 8 images: layers, folds, ties, freezes, norms, faults.

`draw(seed)` gives a recipe, `Drawn` the network of one; equal recipes are equal networks.
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

WIDTH = 12

STEMS = (
    "flat",
    "conv",
    "view_after_conv",
    "depthwise",
    "transposed",
    "conv1d",
    "conv3d",
    "patches_in_the_batch",
    "attention",
    "lstm",
    "gru",
    "bilinear",
    "matrix",
)
BLOCKS = (
    "linear",
    "twice",
    "tied",
    "residual",
    "dropout",
    "weight_norm",
    "spectral_norm",
    "layer_drop",
    "experts",
    "functional",
    "frozen",
    "batch_norm",
    "frozen_batch_norm",
    "layer_norm",
    "group_norm",
    "token",
    "idle",
)
HEADS = ("plain", "plain", "plain", "log_softmax", "tuple", "dictionary", "auxiliary")
PRECISIONS = (*[torch.float32] * 9, torch.bfloat16, torch.float16, torch.float64)
FAULTS = (
    "same_module",
    "checkpoint",
    "own_generator",
    "loose_tensor",
    "unsaved_buffer",
    "counter",
    "state_outside",
    "softmax",
    "eval_dropout",
    "one_memory",
)
"""Each makes every figure of a run untrue, so each must be refused."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One network of the grammar."""

    stem: str
    blocks: tuple[str, ...]
    head: str
    precision: torch.dtype
    mixes_batch: bool
    """Whether it subtracts the mean over the batch while it trains: sound, but not for dp."""

    fault: str | None


def draw(seed: int) -> Recipe:
    """A recipe; about one in five has a fault."""
    generator = np.random.default_rng(seed)

    def one(choices):
        return choices[int(generator.integers(len(choices)))]

    blocks = tuple(one(BLOCKS) for _ in range(int(generator.integers(0, 4))))
    return Recipe(
        stem=STEMS[seed % len(STEMS)],
        blocks=blocks,
        head=one(HEADS),
        precision=one(PRECISIONS),
        mixes_batch=bool(generator.random() < 0.08),
        fault=one(FAULTS) if generator.random() < 0.2 else None,
    )


_OUTSIDE = {"mean": 0.0}


class Drawn(nn.Module):
    """The network of a recipe."""

    def __init__(self, recipe: Recipe, n_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.stem = _stem(recipe.stem)
        self.blocks = nn.ModuleList()
        before: nn.Linear | None = None
        for kind in recipe.blocks:
            block = Block(kind)
            if kind == "tied" and before is not None:
                block.layer.weight = before.weight
            if isinstance(block.layer, nn.Linear) and kind != "weight_norm":
                before = block.layer if kind != "spectral_norm" else before
            self.blocks.append(block)
        self.head = nn.Linear(WIDTH, n_classes)
        self.auxiliary = nn.Linear(WIDTH, n_classes) if recipe.head == "auxiliary" else None
        self.steps = 0
        if recipe.fault == "loose_tensor":
            self.shift = torch.randn(WIDTH)
        if recipe.fault == "unsaved_buffer":
            self.register_buffer("shift", torch.randn(WIDTH), persistent=False)
        if recipe.fault == "one_memory":
            self.twin = nn.Linear(WIDTH, n_classes)
            self.twin.weight = nn.Parameter(self.head.weight.data)
        self.to(recipe.precision)

    def forward(self, images: Tensor):
        hidden = torch.relu(_USES[self.recipe.stem](self.stem, images.to(self.recipe.precision)))
        for block in self.blocks:
            hidden = block(hidden)
        if self.recipe.mixes_batch and self.training:
            hidden = hidden - hidden.mean(0)
        return self._headed(self._faulty(hidden))

    def _faulty(self, hidden: Tensor) -> Tensor:
        fault = self.recipe.fault
        if fault in ("loose_tensor", "unsaved_buffer"):
            hidden = hidden + self.shift
        if fault == "counter":
            self.steps += self.training
            hidden = hidden * (1 + self.steps)
        if fault == "state_outside":
            if self.training:
                _OUTSIDE["mean"] = 0.5 * _OUTSIDE["mean"] + float(hidden.detach().mean()) + 1.0
            hidden = hidden * (1 + _OUTSIDE["mean"])
        if fault == "eval_dropout":
            hidden = functional.dropout(hidden + 1, 0.5)
        return hidden

    def _headed(self, hidden: Tensor):
        logits = self.head(hidden)
        if self.recipe.fault == "one_memory":
            logits = logits + self.twin(hidden)
        if self.recipe.fault == "softmax":
            return logits.float().softmax(1)
        if self.recipe.head == "log_softmax":
            return logits.log_softmax(1)
        if self.recipe.head == "tuple":
            return logits, hidden
        if self.recipe.head == "dictionary":
            return {"hidden": hidden, "logits": logits}
        if self.auxiliary is not None and self.training:
            return logits, self.auxiliary(hidden)
        return logits


class Matrix(nn.Module):
    """A bare parameter instead of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(64, WIDTH) / 8)

    def forward(self, flat: Tensor) -> Tensor:
        return flat @ self.matrix


def _patches(images: Tensor) -> Tensor:
    return images.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(images) * 4, 16)


_USES = {
    "flat": lambda stem, x: stem(x.flatten(1)),
    "conv": lambda stem, x: stem(x).mean((2, 3)),
    "view_after_conv": lambda stem, x: stem[1](stem[0](x).view(len(x), -1)),
    "depthwise": lambda stem, x: stem(x).mean((2, 3)),
    "transposed": lambda stem, x: stem(x).mean((2, 3)),
    "conv1d": lambda stem, x: stem(x[:, 0]).mean(2),
    "conv3d": lambda stem, x: stem(x[:, None]).mean((2, 3, 4)),
    "patches_in_the_batch": lambda stem, x: stem(_patches(x)).reshape(len(x), 4, -1).mean(1),
    "attention": lambda stem, x: stem[1](stem[0](x[:, 0], x[:, 0], x[:, 0])[0].mean(1)),
    "lstm": lambda stem, x: stem(x[:, 0])[0][:, -1],
    "gru": lambda stem, x: stem(x[:, 0])[0][:, -1],
    "bilinear": lambda stem, x: stem(x.flatten(1)[:, :32], x.flatten(1)[:, 32:]),
    "matrix": lambda stem, x: stem(x.flatten(1)),
}
"""Stem -> how it makes (b, WIDTH) of images."""


def _stem(kind: str) -> nn.Module:
    made = {
        "flat": lambda: nn.Linear(64, WIDTH),
        "conv": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, WIDTH, 3)),
        "view_after_conv": lambda: nn.ModuleList([nn.Conv2d(1, 2, 3), nn.Linear(72, WIDTH)]),
        "depthwise": lambda: nn.Sequential(
            nn.Conv2d(1, WIDTH, 3), nn.Conv2d(WIDTH, WIDTH, 3, groups=WIDTH)
        ),
        "transposed": lambda: nn.ConvTranspose2d(1, WIDTH, 2, stride=2),
        "conv1d": lambda: nn.Conv1d(8, WIDTH, 3),
        "conv3d": lambda: nn.Conv3d(1, WIDTH, (1, 3, 3)),
        "patches_in_the_batch": lambda: nn.Linear(16, WIDTH),
        "attention": lambda: nn.ModuleList(
            [nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, WIDTH)]
        ),
        "lstm": lambda: nn.LSTM(8, WIDTH, batch_first=True),
        "gru": lambda: nn.GRU(8, WIDTH, batch_first=True),
        "bilinear": lambda: nn.Bilinear(32, 32, WIDTH),
        "matrix": Matrix,
    }
    return made[kind]()


class Block(nn.Module):
    """(b, WIDTH) -> the same."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.layer = _layer(kind)
        self.token = nn.Parameter(torch.randn(WIDTH) / 4) if kind == "token" else None

    def train(self, mode: bool = True) -> "Block":
        super().train(mode)
        if self.kind == "frozen_batch_norm":
            self.layer.eval()
        return self

    def forward(self, hidden: Tensor) -> Tensor:
        kind, layer = self.kind, self.layer
        if kind == "twice":
            return torch.relu(layer(torch.relu(layer(hidden))))
        if kind == "residual":
            return hidden + torch.relu(layer(hidden))
        if kind == "layer_drop":
            dropped = self.training and float(torch.rand(())) < 0.5
            return hidden if dropped else hidden + torch.relu(layer(hidden))
        if kind == "experts":
            chosen = int(hidden.detach().sum().abs() * 10) % 2 if self.training else 0
            return torch.relu(layer[chosen](hidden))
        if kind == "functional":
            return torch.relu(functional.linear(hidden, layer.weight, layer.bias))
        if self.token is not None:
            return torch.relu(layer(hidden + self.token))
        if kind == "idle":
            return hidden
        return torch.relu(layer(hidden))


def _kept_norm() -> nn.Module:
    norm = nn.BatchNorm1d(WIDTH)
    norm.running_mean.copy_(torch.linspace(-0.1, 0.1, WIDTH))
    return norm


def _linear() -> nn.Module:
    return nn.Linear(WIDTH, WIDTH)


_LAYERS = {
    "batch_norm": lambda: nn.BatchNorm1d(WIDTH),
    "frozen_batch_norm": _kept_norm,
    "layer_norm": lambda: nn.LayerNorm(WIDTH),
    "group_norm": lambda: nn.GroupNorm(3, WIDTH),
    "dropout": lambda: nn.Dropout(0.2),
    "experts": lambda: nn.ModuleList([_linear() for _ in range(2)]),
    "weight_norm": lambda: parametrizations.weight_norm(_linear()),
    "spectral_norm": lambda: parametrizations.spectral_norm(_linear()),
    "frozen": lambda: _linear().requires_grad_(False),
}


def _layer(kind: str) -> nn.Module:
    return _LAYERS.get(kind, _linear)()


def factory(recipe: Recipe):
    """What a user's file would register for this recipe."""
    kept: list[Drawn] = []

    def make(n_classes, _image_shape) -> nn.Module:
        if recipe.fault in ("same_module", "checkpoint"):
            if not kept:
                kept.append(Drawn(recipe, n_classes))
            return kept[0] if recipe.fault == "same_module" else copy.deepcopy(kept[0])
        network = Drawn(recipe, n_classes)
        if recipe.fault == "own_generator":
            own = torch.Generator().manual_seed(1)
            nn.init.normal_(network.head.weight, std=0.2, generator=own)
        return network

    return make
