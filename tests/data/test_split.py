"""The five-way split: disjoint, stratified, as many members as non-members, fixed by its seed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.data.images import Images
from trainables.data.registry import DATASETS, EVEN, LARGE
from trainables.data.split import PARTS, STORED, Split, five_way_split, split_hashes


@given(
    counts=st.lists(st.integers(12, 60), min_size=1, max_size=6),
    fractions=st.sampled_from([EVEN, LARGE]),
    seed=st.integers(0, 2**32),
)
def test_every_split_is_disjoint_stratified_and_balanced(counts, fractions, seed) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    split = five_way_split(labels, fractions, seed)
    parts = {part: getattr(split, part) for part in PARTS}
    together = np.concatenate(list(parts.values()))
    assert len(np.unique(together)) == len(together) <= len(labels)
    assert together.min() >= 0
    assert together.max() < len(labels)
    assert len(split.members) == len(split.non_members)
    for part, indices in parts.items():
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()
        for label, count in enumerate(counts):
            share = count * fractions[part]
            assert share - 1 < (labels[indices] == label).sum() <= share + 1e-6


def test_mnist5k_gives_a_thousand_images_to_each_part_and_a_hundred_of_each_digit(
    mnist5k: Images,
) -> None:
    split = five_way_split(mnist5k.labels, DATASETS["mnist5k"].fractions, 0)
    for part in PARTS:
        assert np.bincount(mnist5k.labels[getattr(split, part)]).tolist() == [100] * 10


def test_the_large_fractions_give_cifars_documented_sizes() -> None:
    split = five_way_split(np.repeat(np.arange(10), 6000), LARGE, 0)
    sizes = [len(getattr(split, part)) for part in PARTS]
    assert sizes == [20_000, 20_000, 5_000, 5_000, 10_000]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    labels = np.repeat(np.arange(10), 20)
    one, same, other = (split_hashes(five_way_split(labels, EVEN, seed)) for seed in (5, 5, 6))
    assert one == same
    assert all(one[part] != other[part] for part in STORED.values())


def test_the_labels_are_left_alone() -> None:
    labels = np.repeat(np.arange(3), 20)
    before = labels.copy()
    five_way_split(labels, EVEN, 0)
    assert (labels == before).all()


@pytest.mark.parametrize(("fractions", "count"), [(EVEN, 4), (LARGE, 11)])
def test_too_few_images_of_a_class_are_refused_in_one_line(fractions, count) -> None:
    labels = np.repeat(np.arange(2), [60, count])
    with pytest.raises(InvalidInput, match=f"class 1 has {count} images") as caught:
        five_way_split(labels, fractions, 0)
    assert "\n" not in str(caught.value)


def test_a_hash_changes_only_with_the_indices_of_its_part() -> None:
    split = five_way_split(np.repeat(np.arange(10), 20), EVEN, 0)
    hashes = split_hashes(split)
    same = Split(**{part: getattr(split, part).astype(np.int64) for part in PARTS})
    assert split_hashes(same) == hashes
    for part in PARTS:
        indices = getattr(split, part).copy()
        indices[0] += 1000
        changed = split_hashes(dataclasses.replace(split, **{part: indices}))
        assert {p for p in changed if changed[p] != hashes[p]} == {STORED[part]}


def test_a_hash_is_the_sha256_of_little_endian_int64() -> None:
    nothing = np.array([], dtype=np.int64)
    split = Split(**dict.fromkeys(PARTS, nothing))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert split_hashes(split) == dict.fromkeys(STORED.values(), empty)
    one = dataclasses.replace(split, members=np.array([1], dtype=np.int64))
    zeros = "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8"  # of 01 00 .. 00
    assert split_hashes(one)["members"] == zeros


def test_the_names_of_the_parts_in_config_json_never_change() -> None:
    assert list(STORED.values()) == ["members", "non_members", "validation", "test", "reference"]
