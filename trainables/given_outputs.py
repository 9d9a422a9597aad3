"""A classifier's outputs, labels and membership as a user gives them, checked and made alike."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.base.errors import InvalidInput

LEAST_PROBABILITY = 1e-12
"""What a probability of exactly zero counts as: its logarithm is a logit."""

SUMS_TO_ONE = 0.02
"""How far the probabilities of an image may be from one together, as rounded ones are."""


def as_logits(outputs: ArrayLike, name: str, dimensions: int) -> NDArray[np.float64]:
    """Logits as they are, probabilities as their logarithms. Raises InvalidInput for anything else.

    outputs: of this many dimensions, the last one the classes.  name: what they are, for messages.
    """
    table = _numbers(outputs, name)
    if table.ndim != dimensions or table.shape[-1] < 2 or table.size == 0:
        raise InvalidInput(
            f"{name} have the shape {table.shape}: give a row per image and a column per class, at "
            "least two"
        )
    sums = table.sum(axis=-1)
    worst = float(sums.flat[np.abs(sums - 1).argmax()])
    if table.min() >= 0 and abs(worst - 1) <= SUMS_TO_ONE:
        return np.log(np.maximum(table, LEAST_PROBABILITY))
    if table.min() >= 0 and table.max() <= 1:
        raise InvalidInput(
            f"{name} lie in [0, 1] but do not sum to one, as {worst:.3f} in one row: give logits, "
            "or the probabilities of classes that exclude one another; several labels for one "
            "image are not audited"
        )
    return table


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} are no table of numbers: {error}") from error
    if not np.isfinite(table).all():
        raise InvalidInput(
            f"{name} hold {int((~np.isfinite(table)).sum())} values that are not finite"
        )
    return table


def as_labels(labels: ArrayLike, images: int, classes: int) -> NDArray[np.int64]:
    """(images,) in [0, classes). Raises InvalidInput for labels of another kind."""
    table = _numbers(labels, "the labels")
    if table.ndim == 2 and table.shape[1] > 1:
        raise InvalidInput(
            f"the labels have the shape {table.shape}, as of images with several labels: only "
            "classes that exclude one another are audited, one whole number for each of "
            f"{images} images"
        )
    whole = table.astype(np.int64)
    if table.shape == (images,) and (whole != table).any():
        odd = float(table[whole != table][0])
        raise InvalidInput(
            f"the labels are no classes, as {odd:g}: a regression is not audited; give one whole "
            f"number for each of {images} images"
        )
    if table.shape != (images,):
        raise InvalidInput(
            f"the labels have the shape {table.shape}: give one whole number for each of {images} "
            "images"
        )
    if whole.min() < 0 or whole.max() >= classes:
        raise InvalidInput(
            f"the labels run from {whole.min()} to {whole.max()}, but the outputs have {classes} "
            f"columns: count classes from 0"
        )
    return whole


def as_bools(values: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    """True or false in this shape, given as bool or as 1 and 0. Raises InvalidInput."""
    table: NDArray[Any] = np.asarray(values)
    try:
        fits = table.shape == shape and bool(np.isin(table, (0, 1)).all())
    except TypeError:  # a missing value of pandas
        fits = False
    if not fits:
        raise InvalidInput(
            f"{name} has the shape {table.shape}: give true or false, or 1 or 0, in the shape "
            f"{shape}"
        )
    return table.astype(bool)
