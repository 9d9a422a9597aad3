"""Images out of files: what was written is what is read, and damage is one clear line."""

import gzip
import logging
import os
import pickle
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.data import formats
from trainables.data.images import DataAbsent, Images
from trainables.data.registry import DATASETS, load_images, require_there
from trainables.data.split import PARTS, five_way_split

KEYS = {"cifar10": "labels", "cifar100": "fine_labels"}
HOMES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FIRST = {"cifar10": "data_batch_1", "cifar100": "train"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def few(n_classes: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 3072)).astype(np.uint8)
    return pixels, generator.integers(0, n_classes, count)


def refused(name: str, folder: Path) -> str:
    """The one line with which the data are refused."""
    with pytest.raises(InvalidInput) as caught:
        load_images(name, folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_mnist5k_is_five_thousand_real_images_without_a_folder(mnist5k: Images) -> None:
    assert mnist5k.pixels.shape == (5000, 1, 28, 28)
    assert np.bincount(mnist5k.labels).tolist() == [500] * 10
    assert mnist5k.pixels.max() == 255
    assert np.median(mnist5k.pixels) == 0


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_as_it_was_written_training_images_first(name, tmp_path, write_cifar) -> None:
    pixels, labels = few(DATASETS[name].n_classes, 18)
    images = load_images(name, write_cifar[name](tmp_path, pixels, labels))
    assert images.labels.tolist() == labels.tolist()
    assert images.labels.dtype == np.int64
    for i, row in enumerate(pixels):  # a row is 1,024 red, then green, then blue, rows first
        for channel, y, x in [(0, 0, 0), (0, 0, 31), (0, 1, 0), (1, 5, 7), (2, 31, 31)]:
            assert images.pixels[i, channel, y, x] == row[channel * 1024 + y * 32 + x]
    assert (images.pixels.reshape(18, -1) == pixels).all()


def test_files_of_your_own_are_used_with_a_warning(cifar10_folder, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        load_images("cifar10", cifar10_folder)
    assert "does not have the published checksums" in caplog.text


def test_published_checksums_give_no_warning(cifar100_folder, caplog, monkeypatch) -> None:
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: True)
    with caplog.at_level(logging.WARNING):
        load_images("cifar100", cifar100_folder)
    assert not caplog.text


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_small_folders_can_be_split_five_ways(name, request) -> None:
    images = load_images(name, request.getfixturevalue(f"{name}_folder"))
    split = five_way_split(images.labels, DATASETS[name].fractions, 0)
    assert all(len(getattr(split, part)) for part in PARTS)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["list", "array", "bytes keys", "fortran"])
def test_every_pickle_protocol_is_read(protocol, kind, tmp_path) -> None:
    pixels, labels = few(10)
    batch = {"data": pixels, "labels": labels if kind == "array" else labels.tolist()}
    if kind == "bytes keys":
        batch = {key.encode(): value for key, value in batch.items()}
    if kind == "fortran":
        batch["data"] = np.asfortranarray(pixels)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(batch, protocol))
    images, numbers = formats.read_batch(path, "labels")
    assert (images.reshape(12, -1) == pixels).all()
    assert numbers.tolist() == labels.tolist()


def test_a_missing_file_is_named(tmp_path, write_cifar) -> None:
    folder = write_cifar["cifar10"](tmp_path, *few(10))
    (folder / HOMES["cifar10"] / "data_batch_3").unlink()
    assert "data_batch_3 is missing" in refused("cifar10", folder)


GOOD = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "EOFError"),
        (b"this is no pickle", "not a pickle of arrays"),
        (pickle.dumps([1, 2]), "not a dictionary with 'data' and 'labels'"),
        (pickle.dumps({**GOOD, "data": None}), "not an array of uint8"),
        (pickle.dumps({"data": GOOD["data"], "fine_labels": [0, 1]}), "'labels'"),
        (pickle.dumps({"labels": [0, 1]}), "'data'"),
        (pickle.dumps({**GOOD, "labels": ["0", "1"]}), "not whole numbers"),
        (pickle.dumps({**GOOD, "labels": [0.0, 1.5]}), "not whole numbers"),
        (pickle.dumps({**GOOD, "labels": 3}), "not whole numbers"),
        (pickle.dumps({**GOOD, "labels": [0, 2**80]}), "too large"),
        (pickle.dumps({**GOOD, "labels": [0, 1, 2]}), "reshape"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3071), np.uint8)}), "reshape"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3072))}), "'f8'"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3072), np.int32)}), "not an array of uint8"),
        (pickle.dumps({**GOOD, "data": np.array([{}], object)}), "'O8'"),
        (pickle.dumps({**GOOD, "labels": [0, 10]}), "found 0 to 10"),
        (pickle.dumps({**GOOD, "labels": [-1, 1]}), "found -1 to 1"),
    ],
)
def test_a_file_that_holds_no_batch_is_refused_with_its_cause(
    content, cause, tmp_path, write_cifar
) -> None:
    folder = write_cifar["cifar10"](tmp_path, *few(2))
    (folder / HOMES["cifar10"] / "data_batch_1").write_bytes(content)
    assert cause in refused("cifar10", folder)


def test_no_images_at_all_are_refused(tmp_path, write_cifar) -> None:
    folder = write_cifar["cifar100"](tmp_path, *few(100, 0))
    assert "found none" in refused("cifar100", folder)


class Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(
    protocol, tmp_path, write_cifar
) -> None:
    folder, marker = write_cifar["cifar10"](tmp_path, *few(10)), tmp_path / "marker"
    batch = {**GOOD, "filenames": Payload(f"touch {marker}")}
    (folder / HOMES["cifar10"] / "data_batch_1").write_bytes(pickle.dumps(batch, protocol))
    assert "system, which no image needs" in refused("cifar10", folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    "call",
    [b"cbuiltins\neval\n(X\x02\x00\x00\x001+tR.", b"(S'ls'\nios\nsystem\n.", b"cnumpy\nload\n."],
)
def test_no_name_outside_the_list_is_ever_looked_up(call, tmp_path) -> None:
    (tmp_path / "batch").write_bytes(call)
    with pytest.raises(InvalidInput, match="which no image needs"):
        formats.read_batch(tmp_path / "batch", "labels")


def test_an_announced_length_is_not_allocated_before_it_is_there(tmp_path) -> None:
    (tmp_path / "batch").write_bytes(b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"few.")
    with pytest.raises(InvalidInput, match="EOFError"):
        formats.read_batch(tmp_path / "batch", "labels")


def valid_or_refused(read: Callable[[], tuple[np.ndarray, np.ndarray]], side: int) -> None:
    """Valid images or InvalidInput of one line, whatever the bytes."""
    try:
        pixels, labels = read()
    except InvalidInput as error:
        message = str(error)
    else:
        message = ""
        assert pixels.dtype == np.uint8
        assert pixels.shape == (len(labels), {32: 3, 28: 1}[side], side, side)
        assert labels.dtype == np.int64
    assert "\n" not in message


def read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    valid_or_refused(lambda: formats.read_batch(path, "labels"), side=32)


fuzzed = settings(
    max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


@fuzzed
@given(content=st.binary(max_size=400))
def test_random_bytes_are_images_or_one_clear_line(content, tmp_path) -> None:
    read(tmp_path / "batch", content)
    read(tmp_path / "batch", b"\x80\x02}(" + content)


@fuzzed
@given(data=st.data())
def test_flipped_and_cut_files_are_images_or_one_clear_line(data, tmp_path, pickled) -> None:
    pixels, labels = few(10, 2)
    whole = data.draw(
        st.sampled_from(
            [
                pickled(pixels, labels, "labels"),
                pickle.dumps({"data": pixels, "labels": labels.tolist()}, 5),
                pickle.dumps({"data": pixels, "labels": labels}, 2),
            ]
        )
    )
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))] or whole)
    ends = min(300, len(content))
    for _ in range(data.draw(st.integers(0, 4))):  # mostly where the structure is, not the pixels
        position = data.draw(st.integers(-ends, ends - 1))
        content[position] = data.draw(st.integers(0, 255))
    read(tmp_path / "batch", bytes(content))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_absent_data_without_a_network_are_one_line_with_the_remedy(name, tmp_path) -> None:
    message = refused(name, tmp_path / "new" / "folder")
    assert "can it be downloaded" in message
    assert "--data-dir" in message
    assert "no network here" in message


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
@pytest.mark.parametrize("cause", [PermissionError(13, "denied"), OSError(30, "read-only")])
def test_a_folder_that_cannot_be_made_is_named(name, cause, tmp_path, monkeypatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise cause

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert refused(name, tmp_path / "data").startswith(f"--data-dir {tmp_path}/data cannot be")


def test_a_file_in_place_of_the_folder_is_named(tmp_path) -> None:
    (tmp_path / "data").write_text("")
    assert "cannot be written" in refused("cifar10", tmp_path / "data")


def write_mnist(
    folder: Path, sizes: dict[str, int], home: str = "MNIST/raw"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """MNIST's own files, extracted, with other images."""
    home = folder / home
    home.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    parts = {}
    for part, count in sizes.items():
        pixels = generator.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = generator.integers(0, 10, count).astype(np.uint8)
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (home / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = struct.pack(">II", 0x801, count)
        (home / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        parts[part] = pixels, labels
    return parts


def test_mnists_extracted_files_are_read_training_images_first(tmp_path, caplog) -> None:
    parts = write_mnist(tmp_path, {"train": 7, "t10k": 3})
    with caplog.at_level(logging.WARNING):
        images = load_images("mnist", tmp_path)
    assert "your own data" in caplog.text
    assert (images.pixels[:, 0] == np.concatenate([p for p, _ in parts.values()])).all()
    assert (images.labels == np.concatenate([labels for _, labels in parts.values()])).all()
    assert images.pixels.shape == (10, 1, 28, 28)


def test_mnists_archives_with_other_checksums_are_not_extracted(tmp_path) -> None:
    home = tmp_path / "MNIST" / "raw"
    home.mkdir(parents=True)
    (home / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"mine"))
    assert "put its published files there, extracted" in refused("mnist", tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "does not start as an array"),
        (b"\x80\x02}.", "does not start as an array"),
        (struct.pack(">IIII", 0x803, 7, 28, 28), "reshape"),
        (struct.pack(">IIII", 0x803, 2**32 - 1, 2**32 - 1, 28), "cannot be read"),
        (struct.pack(">IIII", 0x803, 1, 20, 20) + bytes(400), "not 28 x 28"),
        (struct.pack(">IIII", 0x803, 1, 28, 28) + bytes(784), "7 labels for 1 images"),
    ],
)
def test_a_damaged_file_of_mnist_is_refused_with_its_cause(content, cause, tmp_path) -> None:
    write_mnist(tmp_path, {"train": 7, "t10k": 3})
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    assert cause in refused("mnist", tmp_path)


def test_labels_of_mnist_out_of_range_are_refused(tmp_path) -> None:
    write_mnist(tmp_path, {"train": 7, "t10k": 3})
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    assert "must lie in 0 to 9" in refused("mnist", tmp_path)


# ---------------------------------------------------------------- Fashion-MNIST

RAW = "FashionMNIST/raw"


def write_archives(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Fashion-MNIST's own files as they are published, 7 and 3 images, in the folder itself."""
    parts = write_mnist(folder, {"train": 7, "t10k": 3}, ".")
    for path in list(folder.glob("*-ubyte")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return parts


def require_read(images: Images, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    assert (images.pixels[:, 0] == np.concatenate([p for p, _ in parts.values()])).all()
    assert images.labels.tolist() == np.concatenate([n for _, n in parts.values()]).tolist()


def test_fashion_mnists_archives_in_the_folder_are_read_training_images_first(
    tmp_path, caplog
) -> None:
    parts = write_archives(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with caplog.at_level(logging.WARNING):
        require_read(load_images("fashion-mnist", tmp_path), parts)
    assert "does not hold Fashion-MNIST: read as your own data" in caplog.text
    assert sorted(tmp_path.rglob("*")) == before  # it may be a folder of the system
    require_there("fashion-mnist", tmp_path)


def test_fashion_mnists_extracted_files_are_read_before_any_archive(tmp_path) -> None:
    write_archives(tmp_path)
    parts = write_mnist(tmp_path, {"train": 4, "t10k": 2}, RAW)
    require_read(load_images("fashion-mnist", tmp_path), parts)
    require_there("fashion-mnist", tmp_path)


def test_a_folder_without_fashion_mnist_is_named_before_anything_is_downloaded(tmp_path) -> None:
    with pytest.raises(DataAbsent, match="FashionMNIST/raw/train-images-idx3-ubyte is missing"):
        require_there("fashion-mnist", tmp_path)


def test_fashion_mnists_archives_with_other_checksums_are_not_extracted(tmp_path) -> None:
    (tmp_path / RAW).mkdir(parents=True)
    (tmp_path / RAW / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"mine"))
    assert "put its published files there, extracted" in refused("fashion-mnist", tmp_path)


def test_a_missing_archive_is_named_and_nobody_is_told_to_delete_the_folder(tmp_path) -> None:
    write_archives(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refused("fashion-mnist", tmp_path)
    assert "t10k-labels-idx1-ubyte.gz is missing: put it there" in message
    assert "--data-dir" in message
    assert "delete" not in message


WHOLE = gzip.compress(struct.pack(">IIII", 0x803, 7, 28, 28) + bytes(7 * 784), mtime=0)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "does not start as an array"),
        (b"no archive", "Not a gzipped file"),
        (WHOLE[:-20], "ended before the end"),
        (WHOLE[:12], "ended before the end"),
        (WHOLE[:12] + b"\xff" * 20, "Error -3 while decompressing"),
        (WHOLE[:-8] + bytes(8), "CRC check failed"),
        (gzip.compress(struct.pack(">IIII", 0x803, 7, 28, 28), mtime=0), "reshape"),
        (
            gzip.compress(struct.pack(">IIII", 0x803, 1, 28, 28) + bytes(784), mtime=0),
            "for 1 images",
        ),
    ],
)
def test_a_damaged_archive_is_one_clear_line_with_its_cause(content, cause, tmp_path) -> None:
    write_archives(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    message = refused("fashion-mnist", tmp_path)
    assert cause in message
    assert "another folder with --data-dir" in message


@fuzzed
@given(data=st.data())
def test_flipped_and_cut_archives_are_images_or_one_clear_line(data, tmp_path) -> None:
    content = bytearray(WHOLE[: data.draw(st.integers(0, len(WHOLE)))] or WHOLE)
    for _ in range(data.draw(st.integers(0, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    images, labels = tmp_path / "images.gz", tmp_path / "labels"
    images.write_bytes(content)
    labels.write_bytes(struct.pack(">II", 0x801, 7) + bytes(7))
    valid_or_refused(lambda: formats.read_idx_pair(images, labels), side=28)


INSTALLED = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(
    not INSTALLED.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
)
def test_debians_package_is_fashion_mnist_itself(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        images = load_images("fashion-mnist", INSTALLED)
    assert not caplog.text
    assert np.bincount(images.labels).tolist() == [7000] * 10
    spec, published = DATASETS["fashion-mnist"], images.pixels[:60_000]
    assert spec.published == len(images.pixels)
    counts = np.bincount(published.reshape(-1), minlength=256) / published.size
    mean = (counts * np.arange(256) / 255).sum()
    assert mean == pytest.approx(spec.mean[0], abs=5e-5)
    std = np.sqrt((counts * (np.arange(256) / 255 - mean) ** 2).sum())
    assert std == pytest.approx(spec.std[0], abs=5e-5)


@fuzzed
@given(content=st.binary(max_size=60), magic=st.sampled_from([b"", b"\x00\x00\x08\x03"]))
def test_random_files_of_mnist_are_one_clear_line(content, magic, tmp_path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(magic + content)
    labels.write_bytes(struct.pack(">II", 0x801, 0))
    valid_or_refused(lambda: formats.read_idx_pair(images, labels), side=28)
