"""A split around given members: nothing is lost, nothing is in two parts, both sides are alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.data.own_split import FEWEST_ATTACKED, checked_parts, split_of_members
from trainables.data.split import PARTS, Split, split_hashes


def drawn(count: int, classes: int, members: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count).astype(np.int64)
    return labels, np.sort(generator.permutation(count)[:members]).astype(np.int64)


def parts_of(split: Split) -> list[np.ndarray]:
    return [*(getattr(split, part) for part in PARTS), split.common]


@given(st.integers(500, 900), st.integers(2, 5), st.floats(0.2, 0.6), st.integers(0, 9))
def test_each_image_has_one_part_and_all_members_are_trained_on(
    count: int, classes: int, share: float, seed: int
) -> None:
    labels, members = drawn(count, classes, int(share * count), seed)
    split = split_of_members(labels, {"members": members}, seed)
    together = np.concatenate(parts_of(split))
    assert len(np.unique(together)) == len(together) == count
    assert np.union1d(split.members, split.common).tolist() == members.tolist()


@given(st.integers(500, 900), st.integers(2, 5), st.floats(0.2, 0.6), st.integers(0, 9))
def test_as_many_members_as_non_members_of_each_class_are_attacked(
    count: int, classes: int, share: float, seed: int
) -> None:
    labels, members = drawn(count, classes, int(share * count), seed)
    split = split_of_members(labels, {"members": members}, seed)
    both = [
        np.bincount(labels[one], minlength=classes) for one in (split.members, split.non_members)
    ]
    assert (both[0] == both[1]).all()


def test_the_same_seed_gives_the_same_split_and_another_does_not() -> None:
    labels, members = drawn(1000, 3, 700, 0)
    hashes = [split_hashes(split_of_members(labels, {"members": members}, s)) for s in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert "common" in hashes[0]


def test_parts_that_are_given_stay_as_they_are_and_only_the_rest_is_dealt() -> None:
    labels, _ = drawn(1000, 2, 1, 0)
    named = {
        "members": np.arange(0, 400),
        "non_members": np.arange(400, 600),
        "test": np.arange(600, 700),
    }
    split = split_of_members(labels, named, 0)
    assert split.test.tolist() == named["test"].tolist()
    assert set(split.non_members.tolist()) <= set(named["non_members"].tolist())
    assert len(split.members) == len(split.non_members) > 190
    dealt = np.concatenate([split.validation, split.reserve])
    assert sorted(dealt.tolist()) == list(range(700, 1000))


def test_no_copy_of_a_member_is_in_another_part_and_copies_of_one_stay_together() -> None:
    labels = np.tile(np.arange(2), 400).astype(np.int64)
    copies = np.arange(800)
    copies[1::8] = copies[::8] + 1  # of themselves
    copies[200:260] = np.arange(60)  # of members
    copies[2:60:4] = copies[0:58:4]  # of one another, among the members
    members = np.arange(0, 160)
    split = split_of_members(labels, {"members": members}, 0, copies)
    others = np.concatenate([getattr(split, part) for part in PARTS[1:]])
    assert not np.isin(copies[others], copies[members]).any()
    assert not np.isin(copies[split.members], copies[split.common]).any()
    assert len(split.members) == len(split.non_members)


def test_too_few_members_say_which_interval_they_would_allow() -> None:
    labels, members = drawn(500, 2, FEWEST_ATTACKED - 1, 0)
    with pytest.raises(InvalidInput, match=r"an interval of about \+-0.08 nats: at least 50"):
        split_of_members(labels, {"members": members}, 0)


def test_members_that_leave_no_image_for_the_other_parts_are_refused() -> None:
    labels = np.zeros(200, np.int64)
    with pytest.raises(InvalidInput, match="leave more outside"):
        split_of_members(labels, {"members": np.arange(200)}, 0)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"members": [0, 10]}, "members has position 10, and the data set's are 0 to 9"),
        ({"members": [-1]}, "position -1"),
        ({"members": [1, 1]}, "position 1 is in members and in members"),
        ({"members": [1], "test": [1]}, "position 1 is in members and in test"),
        ({"members": [0.5]}, "whole numbers from 0"),
        ({"members": []}, "whole numbers from 0"),
        ({"test": [1]}, "there are no members"),
        ({"membres": [1]}, "did you mean members"),
    ],
)
def test_what_cannot_be_a_split_is_refused_in_one_line(named, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        checked_parts(named, 10, "the parts")
