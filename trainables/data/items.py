"""What an item of a user's data set must be: an image as bytes, numbers, or the ids of tokens.

Each function returns the item as it is, or raises InvalidInput, which says what is wrong with it.
"""

from typing import Any

import torch
from torch import Tensor

from trainables.base import noun
from trainables.base.errors import InvalidInput


def image(shape: tuple[int, ...], value: object) -> Tensor:
    """A uint8 image, 0 to 255, of `shape` (channels, height, width)."""
    remedy = "convert it with torchvision.transforms.PILToTensor()"
    found = _tensor(value, "a uint8", remedy)
    if found.dtype != torch.uint8:
        raise InvalidInput(
            f"its {noun.one()} must be uint8, 0 to 255, not {_type(found)}: leave out scaling and "
            "normalisation, or register it with input_shape, as it is"
        )
    return _of_shape(shape, found)


def numbers(shape: tuple[int, ...], value: object) -> Tensor:
    """Finite float32 values of `shape`, which nothing normalises."""
    found = _tensor(value, "a float32", "convert it with torch.as_tensor(..., dtype=torch.float32)")
    if found.dtype != torch.float32:
        ids = ", or give n_tokens if these are ids" if found.dtype == torch.int64 else ""
        raise InvalidInput(
            f"its {noun.one()} must be float32, not {_type(found)}: convert it with .float(){ids}"
        )
    found = _of_shape(shape, found)
    wrong = (~torch.isfinite(found)).nonzero()
    if len(wrong):
        position = tuple(wrong[0].tolist())
        raise InvalidInput(
            f"its {noun.one()} holds {found[position].item()} at {position}: fill in what is "
            f"missing, or leave such {noun.many()} out"
        )
    return found + 0.0  # -0.0 and 0.0 are one number, and must be one content


def tokens(shape: tuple[int, ...], n_tokens: int, value: object) -> Tensor:
    """int64 ids in [0, n_tokens) of `shape`."""
    found = _tensor(value, "an int64", "convert it with torch.as_tensor(..., dtype=torch.int64)")
    if found.dtype != torch.int64:
        raise InvalidInput(
            f"its {noun.one()} must be int64 with n_tokens, not {_type(found)}: convert it with "
            ".long(), or leave n_tokens out if these are no ids"
        )
    found = _of_shape(shape, found)
    outside = found[(found < 0) | (found >= n_tokens)]
    if len(outside):
        raise InvalidInput(
            f"its {noun.one()} holds the id {outside[0].item()}, outside of 0 to {n_tokens - 1}: "
            "mend the ids, or give a larger n_tokens"
        )
    return found


def label(n_classes: int, value: Any) -> int:  # noqa: ANN401 - what a user's data set gives
    """A class in 0 to n_classes - 1, out of an int, a NumPy number or a tensor of one."""
    shape = tuple(getattr(value, "shape", ()))
    if shape or isinstance(value, list | tuple | set):
        size = shape or (len(value),)
        raise InvalidInput(
            f"its label must be one whole number in 0 to {n_classes - 1}, not {size[0]} values: "
            f"take argmax() of a one-hot label; several labels for {noun.a()} are not supported, "
            "so register a data set for each"
        )
    found = value.item() if hasattr(value, "item") else value
    if isinstance(found, float):
        raise InvalidInput(
            f"its label must be a whole number in 0 to {n_classes - 1}, not {found}: give classes "
            "as integers; regression is not supported, so sort its targets into classes"
        )
    if not isinstance(found, int) or not 0 <= found < n_classes:
        raise InvalidInput(f"its label must be a whole number in 0 to {n_classes - 1}, not {found}")
    return int(found)


def _tensor(value: object, what: str, remedy: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise InvalidInput(
            f"its {noun.one()} must be {what} tensor, not {type(value).__name__}: {remedy}"
        )
    return value


def _of_shape(shape: tuple[int, ...], found: Tensor) -> Tensor:
    if tuple(found.shape) != shape:
        raise InvalidInput(
            f"its {noun.one()} must have the shape {shape}, not {tuple(found.shape)}"
        )
    return found


def _type(found: Tensor) -> str:
    return str(found.dtype).removeprefix("torch.")
