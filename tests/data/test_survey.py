"""What is seen before a run: data that no network can learn from are refused, odd ones are said."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.base.errors import InvalidInput
from trainables.data.images import Images
from trainables.data.registry import DATASETS, load_images
from trainables.data.survey import survey_images

SPEC = DATASETS["mnist"]


def noise(count: int = 60, shape: tuple[int, int, int] = (1, 28, 28)) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)
    return Images(pixels, np.arange(count) % 10)


def changed(images: Images, where, values) -> Images:
    pixels = images.pixels.copy()
    pixels[where] = values
    return dataclasses.replace(images, pixels=pixels)


def greys(count: int) -> np.ndarray:
    return (np.arange(count, dtype=np.uint8) * 4)[:, None, None, None]


def spec_of(images: Images):
    scaled = images.pixels / 255
    return dataclasses.replace(
        SPEC, mean=tuple(scaled.mean((0, 2, 3))), std=tuple(scaled.std((0, 2, 3)) + 1e-9)
    )


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (changed(noise(), slice(None), 0), "all 60 images are the same one"),
        (changed(noise(), slice(None), noise(1).pixels), "all 60 images are the same one"),
        (changed(noise(), slice(None), greys(60)), "each of 60 images is of one colour"),
        (dataclasses.replace(noise(), labels=np.full(60, 3)), r"of one class only \(3\)"),
    ],
)
def test_data_that_nobody_can_learn_from_are_refused_in_one_line(images, says) -> None:
    with pytest.raises(InvalidInput, match=f"data set 'mine'.*{says}") as caught:
        survey_images("mine", images, SPEC)
    assert "\n" not in str(caught.value)


def test_tidy_data_have_nothing_to_say(mnist5k: Images) -> None:
    assert survey_images("mnist5k", mnist5k, DATASETS["mnist5k"]).notes == ()


def test_some_images_of_one_colour_are_counted_in_every_channel() -> None:
    images = noise(shape=(3, 8, 8))
    few = changed(images, slice(0, 3), np.array([9, 80, 200])[:, None, None])
    few = changed(few, (4, 0), 7)  # one channel of three
    (note,) = survey_images("mine", few, spec_of(few)).notes
    assert note == "3 of 60 images are of one colour throughout"


def test_rows_of_a_table_are_no_pictures_of_one_colour() -> None:
    images = noise(shape=(20, 1, 1))
    assert survey_images("mine", images, spec_of(images)).notes == ()


def test_classes_without_images_are_counted() -> None:
    images = dataclasses.replace(noise(), labels=np.arange(60) % 7)
    (note,) = survey_images("mine", images, spec_of(images)).notes
    assert note == "3 of 10 classes have no images"


@pytest.mark.parametrize("scale", [1 / 16, 1 / 255])
def test_pixels_far_from_the_declared_statistics_are_said(scale) -> None:
    """As when somebody scales images to [0, 1] or takes 4-bit ones for 8."""
    images = noise()
    dark = changed(images, slice(None), (images.pixels * scale + 0.5).astype(np.uint8))
    (note,) = survey_images("mine", dark, spec_of(images)).notes
    assert note.startswith("Images are normalised with the declared mean 0.499 and std 0.289, far ")
    assert "of 60 images: 0.0" in note


def test_the_sample_is_what_numpy_says(mnist5k: Images) -> None:
    sample = survey_images("mnist5k", mnist5k, DATASETS["mnist5k"]).sample
    rows = mnist5k.pixels[np.linspace(0, 4999, 1000).astype(int)]
    assert (sample.count, sample.heights, sample.widths) == (1000, (28, 28), (28, 28))
    assert sample.mean == pytest.approx([rows.mean() / 255])
    assert sample.std == pytest.approx([rows.std() / 255])
    assert (sample.least, sample.most) == (0, 255)


@pytest.fixture
def folder(imagenet_folder: Path, tmp_path: Path) -> Path:
    for part in ("train", "val"):
        shutil.copytree(imagenet_folder / part, tmp_path / part)
    return tmp_path


def looked_at(folder: Path):
    return survey_images("imagenet", load_images("imagenet", folder), DATASETS["imagenet"])


def test_files_are_sampled_decoded_and_cropped_and_what_was_left_out_is_said(folder) -> None:
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    seen = looked_at(folder)
    assert seen.sample.count == 64
    assert 40 <= seen.sample.widths[0] < seen.sample.widths[1] < 80
    assert len(seen.sample.mean) == 3
    assert seen.notes[0].endswith("hidden folders or files: 1 (train/.ipynb_checkpoints)")
    assert seen.notes[1] == "998 of 1,000 classes have no images"


def test_black_files_are_refused(folder) -> None:
    for number, path in enumerate(sorted(folder.glob("*/*/*.JPEG"))):
        Image.new("RGB", (30 + number, 40)).save(path)
    with pytest.raises(InvalidInput, match="each of 64 images is of one colour"):
        looked_at(folder)


def test_a_16_bit_file_and_one_that_cannot_be_decoded_are_named_before_any_training(folder) -> None:
    path = sorted(folder.glob("train/*/*.JPEG"))[3]
    whole = path.read_bytes()
    path.write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=f"{path.name} cannot be decoded: mend it"):
        looked_at(folder)
    path.write_bytes(whole)
    deep = path.with_name("deep.png")
    Image.fromarray(np.linspace(0, 60_000, 64).reshape(8, 8).astype(np.uint16)).save(deep)
    with pytest.raises(InvalidInput, match=r"deep.png has more than 8 bits .*convert"):
        looked_at(folder)


def test_one_class_folder_is_refused_by_its_name(folder) -> None:
    for part in ("train", "val"):
        shutil.rmtree(folder / part / "n01443537")
    with pytest.raises(InvalidInput, match=r"one class only \(n01440764\)"):
        looked_at(folder)
