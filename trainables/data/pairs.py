"""A user's torch `Dataset` of (image, label) pairs, checked item by item and held as bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from trainables.config import InvalidInput
from trainables.data.images import Images

Shape = tuple[int, int, int]


class Pairs(Protocol):
    """What is asked of a `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...  # noqa: ANN401 - checked below


def collected(
    name: str, make: Callable[[Path], Pairs], folder: Path, n_classes: int, image_shape: Shape
) -> Images:
    """All images of the data set `name`. Raises InvalidInput, naming the first item that is wrong.

    make: folder of the data -> data set.
    """
    pixels, labels = [], []
    position = -1
    try:
        dataset = make(folder)
        for position in range(len(dataset)):
            image, label = _checked(dataset[position], n_classes, image_shape)
            pixels.append(image.numpy())
            labels.append(label)
    except InvalidInput as wrong:
        raise InvalidInput(f"data set {name!r}, item {position}: {wrong}") from wrong
    except (Exception, SystemExit) as error:
        where = "" if position < 0 else f" at item {position}"
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidInput(f"data set {name!r} failed{where}: {cause}") from error
    if not pixels:
        raise InvalidInput(f"data set {name!r} has no items")
    return Images(np.stack(pixels), np.array(labels, dtype=np.int64))


def _checked(item: object, n_classes: int, image_shape: Shape) -> tuple[Tensor, int]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InvalidInput(f"it must be a pair (image, label), not {type(item).__name__}")
    image, label = item
    if not isinstance(image, Tensor):
        raise InvalidInput(
            f"its image must be a uint8 tensor, not {type(image).__name__}: convert it with "
            "torchvision.transforms.PILToTensor()"
        )
    if image.dtype != torch.uint8:
        raise InvalidInput(
            f"its image must be uint8, 0 to 255, not {str(image.dtype).removeprefix('torch.')}: "
            "leave out scaling and normalisation"
        )
    if tuple(image.shape) != image_shape:
        raise InvalidInput(f"its image must have the shape {image_shape}, not {tuple(image.shape)}")
    if isinstance(label, Tensor) and label.dim() == 0:
        label = label.item()
    if not isinstance(label, int | np.integer) or not 0 <= label < n_classes:
        raise InvalidInput(f"its label must be a whole number in 0 to {n_classes - 1}, not {label}")
    return image, int(label)
