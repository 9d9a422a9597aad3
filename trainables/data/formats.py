"""Reads the published file formats: MNIST's arrays, CIFAR's batches, plain or compressed."""

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainables.base.errors import InvalidInput
from trainables.data.images import Images
from trainables.data.unpickle import load_arrays


def cause(error: Exception) -> str:
    """The start of its message on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


Batch = tuple[np.ndarray, np.ndarray]
"""(n, channels, height, width) uint8 and (n,) int64."""


def read_batch(path: Path, key: str) -> Batch:
    """One file in CIFAR's format; `key` is what it calls its labels."""
    with _reading(path):
        batch = load_arrays(path.read_bytes())
        if not isinstance(batch, dict) or not {"data", key} <= batch.keys():
            raise ValueError(f"it is not a dictionary with 'data' and {key!r}")
        labels = batch[key].tolist() if isinstance(batch[key], np.ndarray) else batch[key]
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise ValueError("its labels are not whole numbers")
        pixels = batch["data"]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise ValueError("its data are not an array of uint8")
        return pixels.reshape(len(labels), 3, 32, 32), np.array(labels, dtype=np.int64)


def read_idx_pair(images: Path, labels: Path) -> Batch:
    """One part of MNIST, or of what comes in its format."""
    with _reading(images):
        pixels = _read_idx(_extracted(images), dimensions=3)
        if pixels.shape[1:] != (28, 28):
            raise ValueError(f"its images are not 28 x 28 but {pixels.shape[1:]}")
    with _reading(labels):
        numbers = _read_idx(_extracted(labels), dimensions=1).astype(np.int64)
        if len(numbers) != len(pixels):
            raise ValueError(f"it has {len(numbers)} labels for {len(pixels)} images")
    return pixels[:, None], numbers


def _extracted(path: Path) -> bytes:
    """A file's content, decompressed if it is an archive."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _read_idx(data: bytes, dimensions: int) -> np.ndarray:
    """An array of bytes in the format of MNIST's authors: magic number, sizes, values."""
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < header:
        raise ValueError(f"it does not start as an array of bytes in {dimensions} dimensions")
    shape = np.frombuffer(data[4:header], dtype=">u4").tolist()
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever is wrong with the file into InvalidInput: the user can mend it.

    An archive lies in a folder that the user named, which is not ours to delete.
    """
    other = (
        "name another folder with --data-dir"
        if path.suffix == ".gz"
        else f"delete {path.parent} to download the data again"
    )
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidInput(f"{path} is missing: put it there, or {other}") from error
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError, ValueError) as error:
        raise InvalidInput(
            f"{path} cannot be read ({cause(error)}): mend it, or {other}"
        ) from error


def pooled(home: Path, batches: list[Batch], *, classes: int) -> Images:
    """Images of all batches, in their order, with every label in range."""
    pixels = np.concatenate([pixels for pixels, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise InvalidInput(
            f"the labels in {home} must lie in 0 to {classes - 1}, found {found}: mend the files, "
            "or delete them to download the data again"
        )
    return Images(pixels, labels)
