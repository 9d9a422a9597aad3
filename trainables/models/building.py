"""Builds a network from its name and its seed, and tells what it holds."""

import dataclasses

import torch
from torch import nn

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.seeding import seeded_globals
from trainables.models.fitting import fit_of, fitted
from trainables.models.prunable import parameter_count, prunable_layers, unpruned_weights
from trainables.models.registry import MODELS, Shape


def _build(name: str, n_classes: int, image_shape: Shape, n_tokens: int | None) -> nn.Module:
    spec = MODELS[known(name, MODELS, "model")]
    if not spec.foreign and (n_tokens is not None or len(image_shape) != 3):
        raise InvalidInput(
            f"{name} takes images, not {noun.many()} of the shape {image_shape}: register a "
            "network of your own with --plugin"
        )
    if not spec.takes(image_shape):
        fitting = [other for other, s in MODELS.items() if s.takes(image_shape)]
        raise InvalidInput(
            f"{name} does not take {image_shape[1]} x {image_shape[2]} {noun.many()}: use "
            f"{' or '.join(fitting) or 'another data set'}"
        )
    return spec.build(n_classes, image_shape)


def build_model(
    name: str, *, n_classes: int, image_shape: Shape, seed: int, n_tokens: int | None = None
) -> nn.Module:
    """The network, initialised from `seed` alone.

    n_tokens: it takes int64 ids in [0, n_tokens) instead of float32 values.
    Raises InvalidInput on an unknown name, and where a user's network cannot be made.
    """
    with seeded_globals(seed, "initialisation"):
        network = _build(name, n_classes, image_shape, n_tokens)
    spec = MODELS[name]
    if not spec.foreign:
        return network
    return fitted(network, fit_of(spec.build, n_classes, image_shape, n_tokens))


def memory_format(
    name: str, n_classes: int, image_shape: Shape, n_tokens: int | None = None
) -> torch.memory_format:
    """Memory layout of the weights in training: channels last where the network supports it."""
    spec = MODELS[name]
    if spec.foreign and not fit_of(spec.build, n_classes, image_shape, n_tokens).channels_last:
        return torch.contiguous_format
    return torch.channels_last


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What a network holds, known before training."""

    layers: dict[str, int]
    """Prunable layer -> number of weights, in the network's order, each weight once."""

    unpruned: dict[str, str]
    """Other matrices, kernels and tables -> why they are not pruned."""

    parameters: int
    """Number of all parameters, each counted once, the prunable ones included."""

    @property
    def prunable_share(self) -> float:
        """Fraction of the parameters that can be pruned."""
        return sum(self.layers.values()) / self.parameters


def outline(name: str, n_classes: int, image_shape: Shape, n_tokens: int | None = None) -> Outline:
    """What the network holds; our own are not allocated for it."""
    if name in MODELS and MODELS[name].foreign:
        model = build_model(
            name, n_classes=n_classes, image_shape=image_shape, seed=0, n_tokens=n_tokens
        )
    else:
        with torch.device("meta"):
            model = _build(name, n_classes, image_shape, n_tokens)
    return Outline(
        layers={layer: weight.numel() for layer, weight in prunable_layers(model).items()},
        unpruned=unpruned_weights(model),
        parameters=parameter_count(model),
    )


def layer_sizes(name: str, n_classes: int, image_shape: Shape) -> dict[str, int]:
    """Layer name -> number of weights."""
    return outline(name, n_classes, image_shape).layers
