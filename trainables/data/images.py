"""A whole data set: in memory, as images' bytes or as rows, or as a list of image files."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.base.errors import InvalidInput


class DataAbsent(InvalidInput):
    """The images are not in the expected place, which says nothing about their quality."""


@dataclasses.dataclass(frozen=True)
class Images:
    """All images that a run draws from, published train and test parts pooled."""

    pixels: NDArray[np.uint8]
    """(n, channels, height, width)."""

    labels: NDArray[np.int64]
    """(n,) in [0, classes)."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (n, c, h, w) uint8, got {self.pixels.shape}")
        if self.labels.shape != self.pixels.shape[:1] or self.labels.dtype != np.int64:
            raise ValueError(f"labels must be {self.pixels.shape[:1]} int64")


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images that stay in their files, for a data set that does not fit in memory."""

    folder: Path
    """Folder of the files, the same on every machine that trains."""

    files: NDArray[np.bytes_]
    """(n,) paths below it."""

    labels: NDArray[np.int64]
    """(n,) in [0, classes)."""

    classes: tuple[str, ...] = ()
    """The classes' names, in the order of their labels."""

    notes: tuple[str, ...] = ()
    """Sentences about what was found beside the images and left out."""

    cache: Path | None = None
    """Folder of every machine where decoded images are kept; None decodes them each time."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Records that a network gets as they are: rows of a table, signals, sequences of tokens."""

    values: NDArray[np.float32] | NDArray[np.int64]
    """(n, ...); int64 are token ids."""

    labels: NDArray[np.int64]
    """(n,) in [0, classes)."""

    def __post_init__(self) -> None:
        if self.values.ndim < 2 or self.values.dtype not in (np.float32, np.int64):
            raise ValueError(f"values must be (n, ...) float32 or int64, got {self.values.shape}")
        if self.labels.shape != self.values.shape[:1] or self.labels.dtype != np.int64:
            raise ValueError(f"labels must be {self.values.shape[:1]} int64")


Data = Images | ImageFiles | Rows
"""All records that a run draws from."""
