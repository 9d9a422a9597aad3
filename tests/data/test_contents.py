"""What an image is: the same pixels are a copy, other ones are other data, and none is unusable."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.base.errors import InvalidInput
from trainables.data.contents import ENDS, Contents
from trainables.data.images import ImageFiles, Images
from trainables.data.registry import EVEN
from trainables.data.split import PARTS, STORED, five_way_split

RANDOM = np.random.default_rng(0)


def pictures(count: int, side: int = 4) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 1, side, side)).astype(np.uint8)


def in_files(folder: Path) -> ImageFiles:
    names = sorted(path.name for path in folder.iterdir())
    return ImageFiles(folder, np.array(names, np.bytes_), np.zeros(len(names), np.int64))


def test_images_of_equal_pixels_are_copies_of_the_first() -> None:
    pixels = pictures(4)[[0, 1, 0, 2, 1, 3, 0]]
    contents = Contents.of(Images(pixels, np.zeros(7, np.int64)))
    assert contents.copies.tolist() == [0, 1, 0, 3, 1, 5, 0]


def test_one_pixel_makes_another_image() -> None:
    pixels = np.repeat(pictures(1), 2, axis=0)
    pixels[1, 0, 3, 3] ^= 1
    assert Contents.of(Images(pixels, np.zeros(2, np.int64))).copies.tolist() == [0, 1]


def test_the_images_that_come_with_the_program_have_no_copies(mnist5k: Images) -> None:
    assert (Contents.of(mnist5k).copies == np.arange(5000)).all()


def test_files_are_copies_whatever_their_names_and_only_when_all_of_them_agrees(tmp_path) -> None:
    middle = RANDOM.bytes(3 * ENDS)
    one = b"\xff\xd8" + bytes(ENDS) + middle + bytes(ENDS) + b"\xff\xd9"
    other = b"\xff\xd8" + bytes(ENDS) + middle[::-1] + bytes(ENDS) + b"\xff\xd9"
    for name, content in {"a": one, "b": other, "c": one, "d": one + b"\xff\xd9"}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    contents = Contents.of(in_files(tmp_path))
    assert contents.copies.tolist() == [0, 1, 0, 3]
    assert len(set(contents.identities)) == 4


@pytest.fixture
def hashed() -> Callable[..., dict[str, str]]:
    labels = np.repeat(np.arange(4), 30)
    split = five_way_split(labels, EVEN, 0)

    def hashes(pixels: np.ndarray, labels: np.ndarray = labels) -> dict[str, str]:
        return Contents.of(Images(pixels, labels)).hashes(labels, split)

    return hashes


def test_a_hash_changes_with_one_image_one_label_and_the_order_of_its_part(hashed) -> None:
    labels, pixels = np.repeat(np.arange(4), 30), pictures(120)
    before = hashed(pixels)
    assert hashed(pixels.copy()) == before
    assert set(before) == set(STORED.values())
    split = five_way_split(labels, EVEN, 0)
    for part in PARTS:
        first, second = getattr(split, part)[:2]
        for change in ("image", "label", "order"):
            other, names = pixels.copy(), labels.copy()
            if change == "image":
                other[first, 0, 0, 0] ^= 1
            elif change == "label":
                names[first] += 1
            else:
                other[[first, second]] = other[[second, first]]
            after = hashed(other, names)
            assert {name for name in after if after[name] != before[name]} == {STORED[part]}, change


def test_a_file_of_another_name_or_content_has_another_identity(tmp_path) -> None:
    for number, image in enumerate(pictures(2, 32)):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    before = Contents.of(in_files(tmp_path)).identities
    (tmp_path / "1.png").rename(tmp_path / "2.png")
    renamed = Contents.of(in_files(tmp_path)).identities
    assert [one == other for one, other in zip(before, renamed, strict=True)] == [True, False]
    Image.fromarray(pictures(1, 32)[0, 0]).save(tmp_path / "0.png")
    changed = Contents.of(in_files(tmp_path)).identities
    assert [one == other for one, other in zip(renamed, changed, strict=True)] == [False, True]


DEEP = np.linspace(0, 60_000, 64).reshape(8, 8)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("deep.png", DEEP.astype(np.uint16)),
        ("deep.tif", DEEP.astype(np.uint16)),
        ("deep.tiff", DEEP.astype(np.float32)),
        ("deep.tif", DEEP.astype(np.int32)),
    ],
)
def test_more_than_8_bits_of_grey_are_refused_by_name(tmp_path, name, pixels) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(InvalidInput, match=f"{name} has more than 8 bits of grey .* convert"):
        Contents.of(in_files(tmp_path))


def test_a_deep_portable_greymap_is_refused_too(tmp_path) -> None:
    (tmp_path / "deep.pgm").write_bytes(b"P5\n2 2\n65535\n" + bytes([100, 0] * 4))
    with pytest.raises(InvalidInput, match="clipped to 255"):
        Contents.of(in_files(tmp_path))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK"])
def test_ordinary_files_are_taken_whatever_their_ending_says(tmp_path, mode) -> None:
    image = Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "x.JPEG", format="JPEG" if mode == "CMYK" else "PNG")
    assert Contents.of(in_files(tmp_path)).copies.tolist() == [0]


def jpeg(path: Path) -> bytes:
    Image.fromarray(RANDOM.integers(0, 256, (90, 90, 3)).astype(np.uint8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("case", ["empty", "cut", "no picture", "apple", "link", "folder"])
def test_a_file_that_is_no_image_is_named(tmp_path, case) -> None:
    path = tmp_path / "odd.jpeg"
    whole = jpeg(tmp_path / "fine.jpeg")
    if case in ("link", "folder"):
        path.symlink_to("nowhere") if case == "link" else path.mkdir()
    else:
        content = {"empty": b"", "cut": whole[: len(whole) // 2], "apple": b"\0\5\26\7"}
        path.write_bytes(content.get(case, b"no picture"))
    with pytest.raises(InvalidInput, match=r"odd.jpeg cannot be .*mend it, or remove it") as caught:
        Contents.of(in_files(tmp_path))
    assert "\n" not in str(caught.value)


def test_labels_do_not_change_what_a_copy_is() -> None:
    pixels = np.repeat(pictures(1), 2, axis=0)
    images = Images(pixels, np.array([0, 1]))
    assert Contents.of(images).copies.tolist() == [0, 0]
    assert dataclasses.replace(images, labels=images.labels[::-1].copy()).labels.tolist() == [1, 0]
