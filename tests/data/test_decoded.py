"""The cache of decoded images: the same pixels, whatever happens to it."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.test_streamed import CPU, SPEC
from trainables.data import decoded
from trainables.data.batches import on_device
from trainables.data.decoded import DecodedImages
from trainables.data.images import ImageFiles
from trainables.data.registry import load_images

SIDE = 256


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """The files that were decoded."""
    found: list[Path] = []
    scaled = decoded._scaled
    monkeypatch.setattr(
        decoded, "_scaled", lambda path, side: found.append(path) or scaled(path, side)
    )
    return found


@pytest.fixture
def path(imagenet_folder, tmp_path) -> Path:
    source = sorted(imagenet_folder.glob("train/*/*.JPEG"))[0]
    copy = tmp_path / "one.JPEG"
    copy.write_bytes(source.read_bytes())
    return copy


def pixels(images: DecodedImages, path: Path) -> np.ndarray:
    return np.asarray(images(path))


def files(cache: Path) -> list[Path]:
    return [one for one in cache.rglob("*") if one.is_file()]


def test_a_file_is_decoded_once_and_its_pixels_stay_the_same(path, tmp_path, opened):
    cache = tmp_path / "cache"
    expected = pixels(DecodedImages(SIDE, None), path)
    opened.clear()
    images = pickle.loads(pickle.dumps(DecodedImages(SIDE, cache)))
    for _ in range(3):
        assert np.array_equal(pixels(images, path), expected)
    assert np.array_equal(pixels(DecodedImages(SIDE, cache), path), expected)
    assert opened == [path]
    assert min(expected.shape[:2]) == SIDE
    (kept,) = files(cache)
    assert (kept.parent.stat().st_mode & 0o077, kept.suffix) == (0, ".npy")


def test_another_size_or_a_changed_file_is_decoded_anew(path, tmp_path, opened):
    cache = tmp_path / "cache"
    before = pixels(DecodedImages(SIDE, cache), path)
    assert min(pixels(DecodedImages(100, cache), path).shape[:2]) == 100
    os.utime(path, ns=(1, 1))
    assert np.array_equal(pixels(DecodedImages(SIDE, cache), path), before)
    assert len(opened) == 3


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all", b"\x93NUMPY" * 99])
def test_a_damaged_cache_is_written_again(path, tmp_path, opened, content):
    cache = tmp_path / "cache"
    images = DecodedImages(SIDE, cache)
    before = pixels(images, path)
    (kept,) = files(cache)
    whole = kept.read_bytes()
    kept.write_bytes(content)
    assert np.array_equal(pixels(images, path), before)
    assert files(cache) == [kept]
    assert kept.read_bytes() == whole
    assert len(opened) == 2


def test_a_pickle_in_the_cache_is_not_loaded(path, tmp_path, opened):
    images = DecodedImages(SIDE, tmp_path / "cache")
    before = pixels(images, path)
    (kept,) = files(tmp_path / "cache")
    np.save(kept, np.array([{"an": "object"}]), allow_pickle=True)
    assert np.array_equal(pixels(images, path), before)


def test_without_room_or_a_place_nothing_is_kept_and_that_is_said_once(
    path, tmp_path, monkeypatch, caplog
):
    taken = tmp_path / "taken"
    taken.write_text("a file, not a folder")
    blocked = DecodedImages(SIDE, taken)
    homeless = DecodedImages(SIDE, Path("~nobody-at-all/cache"))
    full = DecodedImages(SIDE, tmp_path / "cache")
    monkeypatch.setattr(decoded, "LEFT_FREE", 1.0)
    for images in (blocked, homeless, full):
        caplog.clear()
        for _ in range(2):
            assert min(pixels(images, path).shape[:2]) == SIDE
        (line,) = caplog.messages
        assert line.startswith("no more decoded images are kept in ")
    assert files(tmp_path / "cache") == []


def test_a_file_that_is_no_image_leaves_nothing(tmp_path):
    wrong = tmp_path / "wrong.JPEG"
    wrong.write_bytes(b"no picture")
    images = DecodedImages(SIDE, tmp_path / "cache")
    for path in (wrong, tmp_path / "absent.JPEG"):
        with pytest.raises(ValueError, match=rf"{path.name} cannot be decoded"):
            images(path)
    assert files(tmp_path) == [wrong]


@pytest.mark.parametrize("decoders", [0, 2])
def test_passes_with_and_without_a_cache_give_the_same_batches(imagenet_folder, tmp_path, decoders):
    plain: ImageFiles = load_images("imagenet", imagenet_folder)
    cached = dataclasses.replace(plain, cache=tmp_path)
    parts = torch.split(torch.tensor([7, 70, 7, 1, 33]), 2)
    sources = [on_device(one, SPEC, CPU, decoders) for one in (plain, cached)]
    for seed in (None, 3, 4):
        found, expected = (
            list(one.batches(parts, None if seed is None else torch.Generator().manual_seed(seed)))
            for one in sources
        )
        for (pixel, label), (same, as_before) in zip(found, expected, strict=True):
            assert torch.equal(pixel, same)
            assert torch.equal(label, as_before)
    assert len(files(tmp_path)) == 4


def test_a_pass_beside_another_and_one_left_early_disturb_nothing(imagenet_folder):
    images = on_device(load_images("imagenet", imagenet_folder), SPEC, CPU, 2)
    parts = torch.split(torch.arange(12), 3)
    whole = list(images.batches(parts))
    beside = list(zip(images.batches(parts), images.batches(parts), strict=True))
    left = images.batches(parts)
    next(left)
    left.close()
    again = list(images.batches(parts))
    for (first, _), ((second, _), (third, _)), (fourth, _) in zip(
        whole, beside, again, strict=True
    ):
        assert torch.equal(first, second)
        assert torch.equal(first, third)
        assert torch.equal(first, fourth)
