"""Data sets by name: what they are, how they are split, where they come from."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from trainables.base.names import known
from trainables.base.noun import IMAGES
from trainables.config import ADMMConfig, TrainingConfig
from trainables.data.images import Data, DataAbsent
from trainables.data.sources import (
    FASHION_MNIST_ARCHIVES,
    FASHION_MNIST_FILES,
    IMAGENET_CLASSES,
    MNIST_FILES,
    cifar10,
    cifar100,
    fashion_mnist,
    imagenet,
    mnist,
    mnist5k,
)

EVEN = {
    "members": 1 / 5,
    "non_members": 1 / 5,
    "validation": 1 / 5,
    "test": 1 / 5,
    "reserve": 1 / 5,
}
"""mnist5k: 1,000 images in each part."""

LARGE = {
    "members": 1 / 3,
    "non_members": 1 / 3,
    "validation": 1 / 12,
    "test": 1 / 12,
    "reserve": 1 / 6,
}
"""CIFAR: 20,000 members, 20,000 non-members, 5,000 and 5,000, 10,000 in reserve."""


HUGE = {
    "members": 1 / 10,
    "non_members": 1 / 10,
    "validation": 1 / 40,
    "test": 1 / 40,
    "reserve": 1 / 10,
}
"""ImageNet: 133,000 members; the logits of all audited images, 1 GB a model, bound it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """One data set."""

    n_classes: int
    image_shape: tuple[int, ...]
    """Channels, height, width; of rows any shape."""

    mean: tuple[float, ...]
    """Per channel, of the published training images scaled to [0, 1]; empty for rows."""

    std: tuple[float, ...]
    fractions: Mapping[str, float]
    """Part of the split -> share of the images."""

    default_model: str
    load: Callable[[Path], Data]
    """Folder of the data -> images; raises InvalidInput when they are absent or damaged."""

    training: TrainingConfig | None = None
    """The recipe of a data set that a user registered; ours are in search/recipes.py."""

    admm: ADMMConfig | None = None

    published: int | None = None
    """Images of the published data set, train and test parts together; None where nobody says."""

    parts: tuple[str, ...] = ()
    """Paths below the folder of the data; where one is absent, `load` downloads, or refuses."""

    positions: Callable[[Path], Mapping[str, object]] | None = None
    """Folder of the data -> part of the split -> positions, where a user says who is a member."""

    archives: tuple[str, ...] = ()
    """Paths there that `load` reads in place of `parts` where there is any of them."""

    as_given: bool = False
    """Whether the records are rows, which are neither normalised nor augmented, and not images."""

    n_tokens: int | None = None
    """Rows hold whole numbers in [0, n_tokens), such as the ids of tokens; None for float32."""

    noun: str = IMAGES
    """What the records are called, a plural."""


DATASETS: dict[str, DatasetSpec] = {
    "mnist5k": DatasetSpec(
        n_classes=10,
        image_shape=(1, 28, 28),
        mean=(0.1307,),
        std=(0.3081,),
        fractions=EVEN,
        default_model="lenet5",
        load=mnist5k,
        published=5_000,
    ),
    "mnist": DatasetSpec(
        n_classes=10,
        image_shape=(1, 28, 28),
        mean=(0.1307,),
        std=(0.3081,),
        fractions=LARGE,
        default_model="lenet5",
        load=mnist,
        published=70_000,
        parts=MNIST_FILES,
    ),
    "fashion-mnist": DatasetSpec(
        n_classes=10,
        image_shape=(1, 28, 28),
        mean=(0.2860,),
        std=(0.3530,),
        fractions=LARGE,
        default_model="lenet5",
        load=fashion_mnist,
        published=70_000,
        parts=FASHION_MNIST_FILES,
        archives=FASHION_MNIST_ARCHIVES,
    ),
    "cifar10": DatasetSpec(
        n_classes=10,
        image_shape=(3, 32, 32),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        fractions=LARGE,
        default_model="resnet18",
        load=cifar10,
        published=60_000,
        parts=("cifar-10-batches-py",),
    ),
    "cifar100": DatasetSpec(
        n_classes=100,
        image_shape=(3, 32, 32),
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        fractions=LARGE,
        default_model="resnet18",
        load=cifar100,
        published=60_000,
        parts=("cifar-100-python",),
    ),
    "imagenet": DatasetSpec(
        n_classes=IMAGENET_CLASSES,
        image_shape=(3, 224, 224),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        fractions=HUGE,
        default_model="resnet18",
        load=imagenet,
        parts=("train", "val"),
    ),
}

DEFAULT_FOLDER = Path("data")


def require_there(name: str, data_dir: Path | None) -> None:
    """Raise DataAbsent where `load_images` would have to download the data set, or refuse it."""
    folder, spec = (data_dir or DEFAULT_FOLDER).absolute(), DATASETS[name]
    absent = [part for part in spec.parts if not (folder / part).exists()]
    if absent and not any((folder / archive).exists() for archive in spec.archives):
        raise DataAbsent(f"{name} is not in {folder} ({absent[0]} is missing)")


def load_images(name: str, data_dir: Path | None) -> Data:
    """All images of a data set, downloaded into `data_dir` [data] where they are absent.

    Raises InvalidInput for an unknown name, and when the images are absent or damaged.
    """
    known(name, DATASETS, "data set")
    return DATASETS[name].load((data_dir or DEFAULT_FOLDER).absolute())
