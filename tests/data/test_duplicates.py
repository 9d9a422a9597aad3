"""Copies of an image: never on two sides, the split as stratified and as fixed as ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.errors import InvalidInput
from trainables.data.cohort import (
    copies_of_audited,
    for_defences,
    for_population,
    reference_halves,
)
from trainables.data.duplicates import POLICIES, Duplicates, split_without_copies_apart
from trainables.data.registry import EVEN, HUGE, LARGE
from trainables.data.split import PARTS, five_way_split


def data(seed: int, different: int, most: int, classes: int, odd: float = 0.0):
    """Labels and first copies of `different` images, each up to `most` times, shuffled.

    odd: share of copies whose label is another.
    """
    generator = np.random.default_rng(seed)
    image = np.repeat(np.arange(different), generator.integers(1, most + 1, different))
    image = generator.permutation(image)
    labels = image % classes
    wrong = generator.random(len(labels)) < odd
    labels = np.where(wrong, generator.integers(0, classes, len(labels)), labels)
    _, first, where = np.unique(image, return_index=True, return_inverse=True)
    return labels.astype(np.int64), first[where].astype(np.int64)


def parts_of(split) -> dict[str, np.ndarray]:
    return {part: getattr(split, part) for part in PARTS}


@given(
    seed=st.integers(0, 2**32),
    different=st.integers(120, 300),
    most=st.integers(1, 9),
    classes=st.integers(1, 4),
    odd=st.sampled_from([0.0, 0.2]),
    fractions=st.sampled_from([EVEN, LARGE]),
)
def test_copies_kept_together_are_in_one_part_of_a_stratified_and_fixed_split(
    seed, different, most, classes, odd, fractions
) -> None:
    labels, copies = data(seed, different, most, classes, odd)
    split = split_without_copies_apart(labels, copies, "together", fractions, seed)
    again = split_without_copies_apart(labels, copies, "together", fractions, seed)
    seen: set[int] = set()
    for part, indices in parts_of(split).items():
        assert (getattr(again, part) == indices).all()
        assert (np.diff(indices) > 0).all()
        content = set(copies[indices].tolist())
        assert not seen & content
        seen |= content
    assert len(split.members) == len(split.non_members)
    classes_of = labels[copies]  # an image counts as what its first copy is called
    for part, indices in parts_of(split).items():
        for label in np.unique(classes_of):
            share = (classes_of == label).sum() * fractions[part]
            found = (classes_of[indices] == label).sum()
            lost = 4 * (most - 1) if part == "reserve" else 0  # the last part bears it
            assert share - 1 - lost < found <= share + 1e-6
    assert Duplicates.of(labels, copies, split).member_and_non_member == 0


@given(st.integers(0, 2**32), st.sampled_from([EVEN, LARGE, HUGE]), st.sampled_from(POLICIES))
def test_without_copies_every_policy_gives_the_split_of_always(seed, fractions, policy) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, 400)
    plain = five_way_split(labels, fractions, seed)
    split = split_without_copies_apart(labels, np.arange(400), policy, fractions, seed)
    told = five_way_split(labels, fractions, seed, np.arange(400))
    assert split.copies is None
    for part, indices in parts_of(plain).items():
        assert (getattr(split, part) == indices).all()
        assert (getattr(told, part) == indices).all()


def test_a_class_without_copies_is_dealt_as_if_there_were_none() -> None:
    labels = np.repeat(np.arange(3), 100)
    copies = np.arange(300)
    copies[10:40] = 10
    plain = five_way_split(labels, EVEN, 0)
    split = split_without_copies_apart(labels, copies, "together", EVEN, 0)
    for part, indices in parts_of(plain).items():
        mine = getattr(split, part)
        assert (mine[mine >= 100] == indices[indices >= 100]).all()


def test_only_first_copies_take_part_when_the_others_are_dropped() -> None:
    labels, copies = data(3, 200, 4, 3, odd=0.3)
    split = split_without_copies_apart(labels, copies, "drop", EVEN, 0)
    taken = np.concatenate(list(parts_of(split).values()))
    assert (copies[taken] == taken).all()
    assert len(np.unique(taken)) == len(taken) > 180
    first = np.unique(copies)
    plain = five_way_split(labels[first], EVEN, 0)
    assert (first[plain.members] == split.members).all()


def test_kept_copies_are_counted_on_both_sides_by_hand() -> None:
    labels, copies = data(4, 150, 4, 2, odd=0.1)
    split = split_without_copies_apart(labels, copies, "keep", LARGE, 1)
    found = Duplicates.of(labels, copies, split)
    images: dict[int, list[int]] = {}
    for position, first in enumerate(copies.tolist()):
        images.setdefault(first, []).append(position)
    several = [set(positions) for positions in images.values() if len(positions) > 1]
    members, others = set(split.members.tolist()), set(split.non_members.tolist())
    assert found.images == len(several)
    assert found.occurrences == sum(map(len, several))
    assert found.member_and_non_member == sum(bool(s & members and s & others) for s in several) > 9
    assert found.labelled_differently == sum(len({labels[i] for i in s}) > 1 for s in several) > 0
    assert found.most == max(len(s & members) for s in several)
    sentence = found.in_words("keep")
    assert sentence.startswith(
        f"{found.images} images occur more than once, {found.member_and_non_member} of them as "
        "member and non-member"
    )
    assert "use drop or together" in sentence


def test_an_image_copied_without_end_leaves_room_for_the_others() -> None:
    labels = np.repeat(np.arange(2), 110)
    copies = np.arange(220)
    copies[:100] = 0
    split = split_without_copies_apart(labels, copies, "together", EVEN, 0)
    for indices in parts_of(split).values():
        assert (labels[indices] == 1).sum() == 22
        assert 1 <= (labels[indices] == 0).sum() <= 3
    assert len(split.members) == len(split.non_members)


@pytest.mark.parametrize("policy", ["drop", "together"])
def test_too_few_different_images_are_refused_with_both_counts(policy) -> None:
    labels = np.repeat(np.arange(2), 100)
    copies = np.arange(200)
    copies[:100] = np.arange(100) % 3
    with pytest.raises(InvalidInput, match=r"class 0 has (100 images, )?3 (of them|images)") as e:
        split_without_copies_apart(labels, copies, policy, EVEN, 0)
    assert "\n" not in str(e.value)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_copies_of_an_image_are_on_one_side_of_every_half(seed, most) -> None:
    labels, copies = data(seed, 200, most, 2)
    split = split_without_copies_apart(labels, copies, "together", EVEN, seed)
    audited = copies_of_audited(split)
    size = 2 * len(split.members)
    halves = reference_halves(size, 4, seed, audited)
    assert (halves[0] == ~halves[1]).all()
    assert abs(halves.sum(axis=1) - size / 2).max() < most
    if audited is None:
        assert (halves == reference_halves(size, 4, seed)).all()
        return
    for half in halves:
        assert not set(audited[half].tolist()) & set(audited[~half].tolist())


def test_halves_without_copies_are_those_of_always() -> None:
    assert (reference_halves(501, 6, 3, np.arange(501)) == reference_halves(501, 6, 3)).all()


def test_rmia_compares_with_no_copy_of_what_a_defence_trains_on() -> None:
    labels, copies = data(5, 300, 4, 2)
    split = split_without_copies_apart(labels, copies, "together", EVEN, 0)
    ours, others = for_defences(split.reserve), for_population(split.reserve)
    assert set(copies[ours].tolist()) & set(copies[others].tolist())  # alternating parts them
    population = for_population(split.reserve, split.copies)
    assert not set(copies[ours].tolist()) & set(copies[population].tolist())
    assert set(population.tolist()) < set(others.tolist())
