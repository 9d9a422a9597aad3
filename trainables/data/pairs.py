"""A user's torch `Dataset` of (image, label) pairs, checked item by item and held as bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.base.errors import InvalidInput
from trainables.data.images import DataAbsent, Images

Shape = tuple[int, int, int]

READ_AGAIN = 64
"""About how many items are read twice, to see whether the data set repeats itself."""


class Pairs(Protocol):
    """What we use of a `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...  # noqa: ANN401 - checked below


def collected(
    name: str, make: Callable[[Path], Pairs], folder: Path, n_classes: int, image_shape: Shape
) -> Images:
    """All images of the data set `name`. Raises InvalidInput, naming the first item that is wrong.

    make: folder of the data -> data set.
    """
    dataset, announced = _made(name, make, folder)
    pixels, labels = [], []
    for position in range(announced):
        image, label = _item(name, dataset, position, n_classes, image_shape)
        pixels.append(image.copy())  # a data set may fill one buffer again and again
        labels.append(label)
    if not pixels:
        raise InvalidInput(f"data set {name!r} has no items")
    for position in range(0, announced, max(1, announced // READ_AGAIN)):
        image, label = _item(name, dataset, position, n_classes, image_shape)
        if label != labels[position] or not np.array_equal(image, pixels[position]):
            what = "label" if label != labels[position] else "image"
            raise InvalidInput(
                f"data set {name!r}, item {position}: its {what} changes when it is read a "
                "second time: do not augment there; the recipe says whether images are augmented"
            )
    _require_length(name, dataset, announced)
    return Images(np.stack(pixels), np.array(labels, dtype=np.int64))


def _made(name: str, make: Callable[[Path], Pairs], folder: Path) -> tuple[Pairs, int]:
    try:
        dataset = make(folder)
        return dataset, len(dataset)
    except (FileNotFoundError, ConnectionError, URLError) as error:
        raise DataAbsent(f"data set {name!r} failed: {_cause(error)}") from error
    except (Exception, SystemExit) as error:
        absent = isinstance(error, RuntimeError) and "not found" in str(
            error
        )  # as torchvision says
        kind = DataAbsent if absent else InvalidInput
        raise kind(f"data set {name!r} failed: {_cause(error)}") from error


def _item(
    name: str, dataset: Pairs, position: int, n_classes: int, image_shape: Shape
) -> tuple[NDArray[np.uint8], int]:
    try:
        image, label = _checked(dataset[position], n_classes, image_shape)
        return image.numpy(), label
    except InvalidInput as wrong:
        raise InvalidInput(f"data set {name!r}, item {position}: {wrong}") from wrong
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            f"data set {name!r} failed at item {position}: {_cause(error)}"
        ) from error


def _require_length(name: str, dataset: Pairs, announced: int) -> None:
    if (length := len(dataset)) != announced:
        raise InvalidInput(
            f"data set {name!r} had {announced} items before they were read and {length} after: "
            "give it a length that stays"
        )


def _cause(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


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
