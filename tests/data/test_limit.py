"""A limited data set: every class in its proportion, fixed by the seed, and never too small."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.data.images import ImageFiles, Images
from trainables.data.limit import limited, stratified
from trainables.data.registry import EVEN, LARGE
from trainables.data.split import PARTS, five_way_split


@given(data=st.data(), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_each_class_is_within_one_of_its_share_and_the_seed_decides_which(data, sizes) -> None:
    seed, total = data.draw(st.integers(0, 2**53 - 1)), sum(sizes)
    count = data.draw(st.integers(0, total))
    names = data.draw(st.permutations(range(len(sizes))))
    labels = np.random.default_rng(seed).permutation(np.repeat(names, sizes))
    positions = stratified(labels, count, seed)
    assert positions.dtype == np.int64
    assert len(positions) == count
    assert (np.diff(positions) > 0).all()
    for name, size in zip(names, sizes, strict=True):
        taken = (labels[positions] == name).sum()
        assert abs(taken * total - count * size) < total
    assert positions.tolist() == stratified(labels.copy(), count, seed).tolist()


def test_another_seed_draws_other_images() -> None:
    labels = np.repeat(np.arange(4), 100)
    drawn = [tuple(stratified(labels, 40, seed)) for seed in range(5)]
    assert len(set(drawn)) == 5


@given(
    fractions=st.sampled_from([EVEN, LARGE]),
    sizes=st.lists(st.integers(12, 60), min_size=2, max_size=6),
    data=st.data(),
)
def test_what_is_accepted_can_be_split_and_the_least_that_is_named_is_accepted(
    fractions, sizes, data
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    limit = data.draw(st.integers(1, len(labels)))
    try:
        used = limited("own", images_of(labels), limit, fractions, 0)
    except InvalidInput as error:
        least = int(str(error).rpartition(" ")[2])
        assert limit < least <= len(labels)
        used = limited("own", images_of(labels), least, fractions, 0)
    assert np.unique(used.labels).tolist() == list(range(len(sizes)))
    split = five_way_split(used.labels, fractions, 0)
    assert all(len(getattr(split, part)) >= len(sizes) for part in PARTS)


def images_of(labels: np.ndarray) -> Images:
    """An image for each label, in which its position can be read."""
    pixels = np.arange(len(labels), dtype=np.int64).view(np.uint8).reshape(-1, 1, 1, 8)
    return Images(pixels, labels.astype(np.int64))


def positions_in(images: Images) -> np.ndarray:
    return images.pixels.copy().view(np.int64).ravel()


def test_images_keep_their_labels_and_their_order() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 100))
    used = limited("own", images_of(labels), 120, EVEN, 7)
    positions = positions_in(used)
    assert positions.tolist() == stratified(labels, 120, 7).tolist()
    assert used.labels.tolist() == labels[positions].tolist()


def test_files_keep_their_labels_their_names_and_what_was_said_of_them(tmp_path) -> None:
    labels = np.repeat(np.arange(2), 40)
    files = np.array([f"{i:02}.jpg".encode() for i in range(80)])
    found = ImageFiles(tmp_path, files, labels, classes=("a", "b"), notes=("left out",))
    used = limited("own", found, 20, EVEN, 0)
    positions = [int(file[:2]) for file in used.files]
    assert used.labels.tolist() == labels[positions].tolist()
    assert dataclasses.replace(used, files=files, labels=labels) == dataclasses.replace(
        found, files=files, labels=labels
    )


@pytest.mark.parametrize("limit", [None, 300])
def test_without_a_limit_or_with_one_of_all_images_all_are_used(limit) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 100))
    used = limited("own", images_of(labels), limit, EVEN, 0)
    assert positions_in(used).tolist() == list(range(300))


@pytest.mark.parametrize(
    ("sizes", "limit", "says"),
    [
        ([100, 100], 201, "--limit 201 is more than the 200 images of own: give at most 200"),
        ([100, 100], 1, "leaves class 1 with 0 images, too few to split five ways: give at least"),
        ([100, 100], 9, "--limit 9 leaves class 1 with 4 images"),
        ([90, 10], 40, "class 1 with 4 images, too few to split five ways: give at least 50"),
        ([200, 3], 100, "class 1 with 1 images, too few to split five ways: use a larger data set"),
    ],
)
def test_too_much_and_too_little_are_one_line_with_the_value_and_the_remedy(
    sizes, limit, says
) -> None:
    images = images_of(np.repeat(np.arange(2), sizes))
    with pytest.raises(InvalidInput) as caught:
        limited("own", images, limit, EVEN, 0)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"--limit {limit} ")
    assert "\n" not in str(caught.value)
