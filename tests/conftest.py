"""What every test runs under: one thread, its own HOME, small data, a Ray cluster on request."""

import dataclasses
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from trainables.data.cohort import Cohort
    from trainables.data.images import Images

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when NumPy and torch are imported

import numpy as np

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


SYSTEM_TIMEOUT_S = 1200
"""Of a system test: it hangs, however slow the machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """System tests first, the hosts' before all: with two files at a time the longest must not be
    the last.
    """
    items.sort(
        key=lambda item: (
            item.get_closest_marker("system") is None,
            item.path.stem != "test_cluster",
        )
    )
    for item in items:
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.timeout(SYSTEM_TIMEOUT_S))


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ray writes a token to HOME, which would change the user's next `ray start`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own tables stay out of the captured output
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("no_proxy", "127.0.0.1,localhost")  # the servers of these tests are here
        yield home


@pytest.fixture(autouse=True)
def own_words() -> Iterator[None]:
    """What a test calls its records is forgotten after it."""
    from trainables.base import noun

    with noun.spoken():
        yield


@pytest.fixture(scope="module")
def ray_cluster(own_home: Path) -> Iterator[str]:
    """The address of a real cluster: two nodes of one CPU, each a raylet and workers of its own.

    Each file has its own: one file's tests take machines away, and the next would find the cluster
    half an hour later as they left it.
    """
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 128 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session")
def mnist5k() -> "Images":
    """The 5,000 real images of MNIST that need no network."""
    from trainables.data.registry import load_images

    return load_images("mnist5k", None)


@pytest.fixture
def mnist5k_read_once(mnist5k: "Images", monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that are called here get the images at hand: reading the text takes seconds."""
    from trainables.data.registry import DATASETS

    spec = dataclasses.replace(DATASETS["mnist5k"], load=lambda _folder: mnist5k)
    monkeypatch.setitem(DATASETS, "mnist5k", spec)


@pytest.fixture(scope="session")
def mnist5k_cohort(mnist5k: "Images") -> "Cohort":
    """The five parts of mnist5k under run seed 0, on the CPU."""
    import torch

    from trainables.base.seeding import derive_seed
    from trainables.data.cohort import Cohort
    from trainables.data.device import DeviceImages
    from trainables.data.registry import DATASETS
    from trainables.data.split import five_way_split

    spec = DATASETS["mnist5k"]
    split = five_way_split(mnist5k.labels, spec.fractions, derive_seed(0, "split"))
    return Cohort.of(DeviceImages.of(mnist5k, spec), split, torch.device("cpu"))


def _text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()  # SHORT_BINSTRING, Python 2's str


def _array(pixels: np.ndarray) -> bytes:
    rows, columns = pixels.shape
    return b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01" + struct.pack("<BiBi", 74, rows, 74, columns) + b"\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff",
            b"J\xff\xff\xff\xffK\x00tb\x89",
            b"T" + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb",
        ]
    )


def _numbers(labels: np.ndarray) -> bytes:
    return b"](" + b"".join(b"K" + bytes([label]) for label in labels.tolist()) + b"e"


def cifar_pickle(pixels: np.ndarray, labels: np.ndarray, key: str) -> bytes:
    """The bytes of one batch as Python 2 wrote the published ones, protocol 2.

    pixels: (n, 3072) uint8.  labels: (n,).  key: labels | fine_labels.
    """
    items = {
        "batch_label": _text("training batch 1 of 5"),
        key: _numbers(labels),
        "data": _array(pixels),
        "filenames": b"](" + b"".join(_text(f"image_{i}.png") for i in range(len(labels))) + b"e",
    }
    if key == "fine_labels":
        items["coarse_labels"] = _numbers(labels // 5)
    return b"\x80\x02}(" + b"".join(_text(k) + v for k, v in items.items()) + b"u."


def cifar_images(n_classes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a pattern of each class, shuffled: (n, 3072) uint8 and (n,)."""
    generator = np.random.default_rng(n_classes)
    labels = generator.permutation(np.repeat(np.arange(n_classes), each))
    patterns = generator.integers(60, 196, (n_classes, 3072))
    noise = generator.integers(-60, 60, (len(labels), 3072))
    return (patterns[labels] + noise).astype(np.uint8), labels


WriteCifar = Callable[[Path, np.ndarray, np.ndarray], Path]


def write_cifar10(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> Path:
    """The six files of CIFAR-10 under `folder`, images dealt to them in order."""
    home = folder / "cifar-10-batches-py"
    home.mkdir(parents=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name, part in zip(names, np.array_split(np.arange(len(labels)), 6), strict=True):
        (home / name).write_bytes(cifar_pickle(pixels[part], labels[part], "labels"))
    return folder


def write_cifar100(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> Path:
    """The two files of CIFAR-100 under `folder`, one image in six in `test`."""
    home = folder / "cifar-100-python"
    home.mkdir(parents=True)
    first = len(labels) * 5 // 6
    for name, part in {"train": slice(first), "test": slice(first, None)}.items():
        (home / name).write_bytes(cifar_pickle(pixels[part], labels[part], "fine_labels"))
    return folder


@pytest.fixture(scope="session")
def cifar10_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with 24 images a class in CIFAR-10's own files."""
    return write_cifar10(tmp_path_factory.mktemp("cifar10"), *cifar_images(10, 24))


@pytest.fixture(scope="session")
def cifar100_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with 12 images a class in CIFAR-100's own files."""
    return write_cifar100(tmp_path_factory.mktemp("cifar100"), *cifar_images(100, 12))


SYNSETS = ("n01440764", "n01443537")


def write_imagenet(folder: Path, each: int) -> Path:
    """`each` JPEG files a class as ImageNet's archives unpack, one in four in val."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for label, synset in enumerate(SYNSETS):
        for number in range(each):
            part, stem = ("val", "ILSVRC2012_val") if number % 4 == 3 else ("train", synset)
            home = folder / part / synset
            home.mkdir(parents=True, exist_ok=True)
            height, width = generator.integers(40, 80, 2)
            pixels = generator.integers(0, 120, (height, width, 3)) + 100 * label
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(home / f"{stem}_{number:08d}.JPEG", quality=90)
    return folder


@pytest.fixture(scope="session")
def imagenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with 40 images of each of two classes, and weights under the published names."""
    import torch

    from trainables.models.building import build_model
    from trainables.models.registry import PUBLISHED

    folder = write_imagenet(tmp_path_factory.mktemp("imagenet"), 40)
    for name, url in PUBLISHED.items():
        network = build_model(name, n_classes=1000, image_shape=(3, 224, 224), seed=7)
        torch.save(network.state_dict(), folder / url.rpartition("/")[2])
    return folder


@pytest.fixture(scope="session")
def write_cifar() -> dict[str, WriteCifar]:
    """Data set -> writer of its files: (folder, (n, 3072) pixels, (n,) labels)."""
    return {"cifar10": write_cifar10, "cifar100": write_cifar100}


@pytest.fixture(scope="session")
def pickled() -> Callable[[np.ndarray, np.ndarray, str], bytes]:
    """Pixels, labels and the labels' key -> one batch in the published format."""
    return cifar_pickle
