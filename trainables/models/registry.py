"""Networks by name; nothing heavy is imported before one is built."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
"""Channels, height, width of an image; the sizes of a row, whatever they mean."""

Build = Callable[[int, Shape], "nn.Module"]
"""(classes, image shape) -> network with logits as output."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One network."""

    build: Build

    sides: tuple[int, ...] | None
    """Heights of the square images that it takes; None leaves that to its author."""

    foreign: bool = False
    """Whether a user wrote it; models/fitting.py then tests which layout and precision work."""

    def takes(self, image_shape: Shape) -> bool:
        """Whether images of this shape go through the network."""
        if self.sides is None:
            return True
        if len(image_shape) != 3:
            return False
        return image_shape[1] in self.sides and image_shape[1] == image_shape[2]


IMAGENET_SIDE = 224

PUBLISHED = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "mobilenetv2": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
}
"""Network -> torchvision's IMAGENET1K_V1, whose accuracy is the paper's baseline (Table 3)."""


def _lenet5(n_classes: int, image_shape: Shape) -> "nn.Module":
    from trainables.models.lenet5 import LeNet5

    return LeNet5(n_classes, image_shape)


def _vgg16(n_classes: int, image_shape: Shape) -> "nn.Module":
    from trainables.models import cifar

    return cifar.vgg16(n_classes, image_shape)


def _resnet18(n_classes: int, image_shape: Shape) -> "nn.Module":
    from trainables.models import cifar, imagenet

    build = imagenet.resnet18 if _is_large(image_shape) else cifar.resnet18
    return build(n_classes, image_shape)


def _mobilenetv2(n_classes: int, image_shape: Shape) -> "nn.Module":
    from trainables.models import cifar, imagenet

    build = imagenet.mobilenetv2 if _is_large(image_shape) else cifar.mobilenetv2
    return build(n_classes, image_shape)


def _cnn4(n_classes: int, image_shape: Shape) -> "nn.Module":
    from trainables.models.cnn4 import FourLayerCNN

    return FourLayerCNN(n_classes, image_shape)


def _is_large(image_shape: Shape) -> bool:
    """Whether images take a network's ImageNet form instead of its CIFAR form."""
    return image_shape[1] >= IMAGENET_SIDE


MODELS: dict[str, ModelSpec] = {
    "lenet5": ModelSpec(build=_lenet5, sides=(28, 32)),
    "vgg16": ModelSpec(build=_vgg16, sides=(32,)),
    "resnet18": ModelSpec(build=_resnet18, sides=(28, 32, IMAGENET_SIDE)),
    "mobilenetv2": ModelSpec(build=_mobilenetv2, sides=(28, 32, IMAGENET_SIDE)),
    "cnn4": ModelSpec(build=_cnn4, sides=(28, 32)),
}
"""Name -> network; a plugin adds the user's own."""
