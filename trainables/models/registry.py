"""Networks by name: how each is built, and what it holds."""

import dataclasses

import torch
from torch import nn

from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.seeding import seeded_globals
from trainables.models import cifar, imagenet
from trainables.models.cnn4 import FourLayerCNN
from trainables.models.fitting import Build, Shape, fit_of, fitted
from trainables.models.lenet5 import LeNet5
from trainables.models.prunable import parameter_count, prunable_layers, unpruned_weights


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One network."""

    build: Build

    sides: tuple[int, ...] | None
    """Image heights it takes, of square images; None takes what its author says."""

    foreign: bool = False
    """Whether a user wrote it: what it bears is then found out first (models/fitting.py)."""

    def takes(self, image_shape: Shape) -> bool:
        """Whether images of this shape go through the network."""
        if self.sides is None:
            return True
        return image_shape[1] in self.sides and image_shape[1] == image_shape[2]


IMAGENET_SIDE = 224


def _two_forms(small: Build, large: Build) -> Build:
    """CIFAR's form for small images, ImageNet's for large ones."""

    def build(n_classes: int, image_shape: Shape) -> nn.Module:
        chosen = large if image_shape[1] >= IMAGENET_SIDE else small
        return chosen(n_classes, image_shape)

    return build


MODELS: dict[str, ModelSpec] = {
    "lenet5": ModelSpec(build=LeNet5, sides=(28, 32)),
    "vgg16": ModelSpec(build=cifar.vgg16, sides=(32,)),
    "resnet18": ModelSpec(
        build=_two_forms(cifar.resnet18, imagenet.resnet18), sides=(28, 32, IMAGENET_SIDE)
    ),
    "mobilenetv2": ModelSpec(
        build=_two_forms(cifar.mobilenetv2, imagenet.mobilenetv2), sides=(28, 32, IMAGENET_SIDE)
    ),
    "cnn4": ModelSpec(build=FourLayerCNN, sides=(28, 32)),
}


def _build(name: str, n_classes: int, image_shape: Shape) -> nn.Module:
    spec = MODELS[known(name, MODELS, "model")]
    if not spec.takes(image_shape):
        fitting = [other for other, s in MODELS.items() if s.takes(image_shape)]
        raise InvalidInput(
            f"{name} does not take {image_shape[1]} x {image_shape[2]} images: use "
            f"{' or '.join(fitting) or 'another data set'}"
        )
    return spec.build(n_classes, image_shape)


def build_model(name: str, *, n_classes: int, image_shape: Shape, seed: int) -> nn.Module:
    """The network, initialised from `seed` alone.

    Raises InvalidInput on an unknown name, and where a user's network cannot be made.
    """
    with seeded_globals(seed, "initialisation"):
        network = _build(name, n_classes, image_shape)
    spec = MODELS[name]
    return fitted(network, fit_of(spec.build, n_classes, image_shape)) if spec.foreign else network


def memory_format(name: str, n_classes: int, image_shape: Shape) -> torch.memory_format:
    """How the network's weights are laid out for training: channels last where it bears that."""
    spec = MODELS[name]
    if spec.foreign and not fit_of(spec.build, n_classes, image_shape).channels_last:
        return torch.contiguous_format
    return torch.channels_last


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What a network holds, told before it is trained."""

    layers: dict[str, int]
    """Prunable layer -> number of weights, in the network's order, each weight once."""

    unpruned: dict[str, str]
    """Other matrices, kernels and tables -> why they are not pruned."""

    parameters: int
    """All that ship, each once, the prunable ones included."""

    @property
    def prunable_share(self) -> float:
        """Fraction of the parameters that can be pruned."""
        return sum(self.layers.values()) / self.parameters


def outline(name: str, n_classes: int, image_shape: Shape) -> Outline:
    """What the network holds; our own are not allocated for it."""
    if name in MODELS and MODELS[name].foreign:
        model = build_model(name, n_classes=n_classes, image_shape=image_shape, seed=0)
    else:
        with torch.device("meta"):
            model = _build(name, n_classes, image_shape)
    return Outline(
        layers={layer: weight.numel() for layer, weight in prunable_layers(model).items()},
        unpruned=unpruned_weights(model),
        parameters=parameter_count(model),
    )


def layer_sizes(name: str, n_classes: int, image_shape: Shape) -> dict[str, int]:
    """Layer name -> number of weights."""
    return outline(name, n_classes, image_shape).layers
