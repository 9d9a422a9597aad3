"""Class folders: what torchvision finds in a tidy one, and nothing that systems leave behind."""

import os
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from trainables.base.errors import InvalidInput
from trainables.data.folders import class_folders, in_words
from trainables.data.registry import load_images

JUNK = b"\0\5\26\7"


def copied(source: Path, target: Path) -> Path:
    for path in source.glob("*/*/*.JPEG"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return target


@pytest.fixture
def folder(imagenet_folder: Path, tmp_path: Path) -> Path:
    return copied(imagenet_folder, tmp_path / "data")


def ants(folder: Path, part: str = "train") -> Path:
    return folder / part / "n01440764"


def test_a_tidy_folder_gives_what_torchvision_gives_in_its_order(folder: Path) -> None:
    deeper = ants(folder) / "b" / "c"
    deeper.mkdir(parents=True)
    (ants(folder) / "b-c").mkdir()
    for name in ("b/c/x.png", "b-c/y.JPG", "b/Z.webp"):
        (ants(folder) / name).write_bytes(b"?")
    found = class_folders(folder / "train")
    expected = ImageFolder(folder / "train")
    ours = [(f"{folder}/{path}", name) for name, files in found.files.items() for path in files]
    assert ours == [(path, expected.classes[label]) for path, label in expected.samples]
    assert (found.hidden, found.strays, found.loops) == ((), (), ())


LITTER = [
    "train/.ipynb_checkpoints/i-checkpoint.JPEG",
    "train/n01440764/.ipynb_checkpoints/i-checkpoint.JPEG",
    "train/n01440764/._i0.JPEG",
    "val/__MACOSX/n01440764/i0.JPEG",
    "train/@eaDir/i0.jpg",
    "train/.DS_Store",
    "train/n01440764/.DS_Store",
    "val/n01440764/Thumbs.db",
    "train/n01440764/.thumbnails/i0.png",
]


@pytest.mark.parametrize("litter", LITTER)
def test_litter_is_no_class_and_no_image_and_is_named(folder: Path, litter: str) -> None:
    before = load_images("imagenet", folder)
    (folder / litter).parent.mkdir(parents=True, exist_ok=True)
    (folder / litter).write_bytes(next(ants(folder).glob("*.JPEG")).read_bytes())
    images = load_images("imagenet", folder)
    assert (images.files == before.files).all()
    assert (images.labels == before.labels).all()
    (note,) = images.notes
    outermost = next(
        name
        for name in ("/".join(litter.split("/")[: depth + 1]) for depth in range(9))
        if name.split("/")[-1].startswith((".", "_", "@", "Thumbs"))
    )
    assert note == f"Left out of {folder}: hidden folders or files: 1 ({outermost})"


def test_many_things_are_counted_and_the_first_are_named(folder: Path) -> None:
    for number in range(30):
        (ants(folder) / f"._{number:02d}.JPEG").write_bytes(JUNK)
    (note,) = load_images("imagenet", folder).notes
    assert ": 30 (train/n01440764/._00.JPEG, " in note
    assert note.endswith("._02.JPEG and 27 more)")
    assert in_words(["a", "b", "c"]) == "a, b, c"


def test_files_that_are_no_images_or_in_no_class_are_named(folder: Path) -> None:
    (folder / "train" / "labels.csv").write_text("")
    (ants(folder, "val") / "holiday.heic").write_bytes(JUNK)
    (note,) = load_images("imagenet", folder).notes
    assert ": 2 (train/labels.csv, val/n01440764/holiday.heic)" in note


def test_a_class_without_images_is_left_out_and_named(folder: Path) -> None:
    before = load_images("imagenet", folder)
    for part in ("train", "val"):
        (folder / part / "cow").mkdir()
    (folder / "train" / "cow" / "notes.txt").write_text("")
    images = load_images("imagenet", folder)
    assert images.classes == before.classes == ("n01440764", "n01443537")
    assert (images.labels == before.labels).all()
    assert images.notes[-1] == f"Left out of {folder}: class folders without images: 1 (cow)"


def test_a_class_of_one_part_only_is_refused_by_name(folder: Path) -> None:
    (folder / "train" / "cow").mkdir()
    load_images("imagenet", folder)  # empty there, absent in val
    (folder / "train" / "cow" / "1.png").write_bytes(b"?")
    with pytest.raises(InvalidInput, match="only one has images of cow: put some into both"):
        load_images("imagenet", folder)


def test_no_images_at_all_are_one_line(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "cow").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="have no images in class folders"):
        load_images("imagenet", tmp_path)


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "more.png").write_bytes(b"?")
    (ants(folder) / "linked").symlink_to(elsewhere)
    (ants(folder) / "again").symlink_to(ants(folder))
    (folder / "train" / "whole").symlink_to(folder / "train")
    images = load_images("imagenet", folder)
    assert [name for name in images.files if b"more.png" in name] == [
        b"train/n01440764/linked/more.png"
    ]
    (note,) = images.notes
    assert ": 2 (train/n01440764/again, train/whole)" in note


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_one_line(folder: Path) -> None:
    ants(folder).chmod(0)
    try:
        with pytest.raises(InvalidInput, match="cannot be read"):
            load_images("imagenet", folder)
    finally:
        ants(folder).chmod(0o700)
