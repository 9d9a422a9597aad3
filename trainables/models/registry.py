"""Networks by name; construction, prunable layers and their sizes."""

import dataclasses
import difflib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.config import InvalidInput
from trainables.models import cifar, imagenet
from trainables.models.cnn4 import FourLayerCNN
from trainables.models.lenet5 import LeNet5
from trainables.seeding import seeded_torch

Shape = tuple[int, int, int]
"""Channels, height, width."""

Build = Callable[[int, Shape], nn.Module]
"""(classes, image shape) -> network with logits as output."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One network."""

    build: Build

    sides: tuple[int, ...] | None
    """Image heights it takes, of square images; None takes what its author says."""

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
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(MODELS)}"
        raise InvalidInput(f"model {name!r} is unknown: {hint}")
    spec = MODELS[name]
    if not spec.takes(image_shape):
        fitting = [other for other, s in MODELS.items() if s.takes(image_shape)]
        raise InvalidInput(
            f"{name} does not take {image_shape[1]} x {image_shape[2]} images: use "
            f"{' or '.join(fitting) or 'another data set'}"
        )
    return spec.build(n_classes, image_shape)


def build_model(name: str, *, n_classes: int, image_shape: Shape, seed: int) -> nn.Module:
    """The network, initialised from `seed` alone. Raises InvalidInput on an unknown name."""
    with seeded_torch(seed, "initialisation"):
        return _build(name, n_classes, image_shape)


def prunable_layers(model: nn.Module) -> dict[str, nn.Parameter]:
    """Layer name -> weight of every convolution and linear layer, in the order of the network.

    Biases and norm layers are never pruned: they are few, and a channel dies with its scale.
    """
    return {
        name: module.get_parameter("weight")
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def layer_sizes(name: str, n_classes: int, image_shape: Shape) -> dict[str, int]:
    """Layer name -> number of weights, without allocating them."""
    with torch.device("meta"):
        model = _build(name, n_classes, image_shape)
    return {layer: weight.numel() for layer, weight in prunable_layers(model).items()}


def layer_macs(model: nn.Module, image_shape: Shape) -> dict[str, int]:
    """Layer name -> multiply-accumulates of one image, counted on a forward pass."""
    macs: dict[str, int] = {}

    def count(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            weight = module.get_parameter("weight")
            positions = output[0].numel() // weight.shape[0]  # 1 for a linear layer
            macs[name] = weight.numel() * positions

        return hook

    layers = prunable_layers(model)
    hooks = [model.get_submodule(name).register_forward_hook(count(name)) for name in layers]
    was_training = model.training
    try:
        model.eval()
        device = next(model.parameters()).device
        with torch.no_grad():
            model(torch.zeros(1, *image_shape, device=device))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return {name: macs[name] for name in layers}
