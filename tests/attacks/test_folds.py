"""Folds: each image is scored once, by what never saw it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trainables.attacks.calibration import boosted
from trainables.attacks.evidence import Evidence
from trainables.attacks.folds import cross_fit, inner_validation, splits, stratified_folds


@pytest.mark.parametrize("count", [2, 5])
def test_folds_hold_equal_shares_of_members_and_of_each_class(planted, count):
    evidence = planted(n=420)
    folds = stratified_folds(evidence, count, np.random.default_rng(0))
    assert set(folds) == set(range(count))
    for member in (True, False):
        side = evidence.is_member == member
        assert np.ptp(np.bincount(folds[side])) <= 1
        for label in np.unique(evidence.labels):
            both = side & (evidence.labels == label)
            assert np.ptp(np.bincount(folds[both], minlength=count)) <= 1


def test_folds_follow_their_generator(planted):
    evidence = planted()
    first, again, other = (
        stratified_folds(evidence, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_more_folds_than_pairs_of_images_are_refused(planted):
    with pytest.raises(ValueError, match="folds"):
        stratified_folds(planted(n=16), 5, np.random.default_rng(0))


def test_every_image_is_scored_once_by_the_images_of_other_folds():
    folds = np.array([0, 1, 2, 0, 1, 2, 2])
    seen = np.zeros((7, 7), dtype=int)
    for train, scored in splits(folds):
        seen[np.ix_(scored, train)] += 1
    np.testing.assert_array_equal(seen, folds[:, None] != folds)
    result = cross_fit(folds, lambda train, scored: scored + len(train) / 10)
    np.testing.assert_allclose(result, np.arange(7) + np.array([5, 5, 4, 5, 5, 4, 4]) / 10)


def test_inner_validation_takes_the_share_of_members_and_of_non_members():
    is_member = np.arange(100) < 60
    fit, validation = inner_validation(is_member, 0.2, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.r_[fit, validation]), np.arange(100))
    assert (is_member[validation].sum(), (~is_member[validation]).sum()) == (12, 8)


def test_the_copies_of_an_image_share_a_fold_and_folds_stay_even(planted):
    evidence = planted(n=420)
    plain = stratified_folds(evidence, 5, np.random.default_rng(0))
    alone = dataclasses.replace(evidence, copies=np.arange(420))
    np.testing.assert_array_equal(stratified_folds(alone, 5, np.random.default_rng(0)), plain)
    copies = np.empty(420, dtype=np.int64)
    for member in (True, False):
        positions = np.flatnonzero(evidence.is_member == member)
        copies[positions] = 1000 * member + np.arange(len(positions)) // 3
    folds = stratified_folds(
        dataclasses.replace(evidence, copies=copies), 5, np.random.default_rng(0)
    )
    assert all(len(set(folds[copies == image])) == 1 for image in np.unique(copies))
    for member in (True, False):
        assert np.ptp(np.bincount(folds[evidence.is_member == member])) <= 3


@given(st.integers(0, 100), st.integers(1, 30))
def test_inner_validation_leaves_no_copy_to_be_fitted_on(seed, each):
    copies = np.repeat(np.arange(60), each)[:120]
    is_member = copies % 2 == 0
    fit, held = inner_validation(is_member, 0.2, np.random.default_rng(seed), copies)
    assert sorted([*fit, *held]) == list(range(len(copies)))
    assert not set(copies[fit]) & set(copies[held])
    assert set(is_member[held]) == set(is_member)


def test_an_attack_recognises_copies_unless_they_share_a_fold():
    """Outputs that say nothing about membership, each image four times on one side."""
    generator = np.random.default_rng(0)
    logits = np.repeat(generator.normal(size=(500, 10)), 4, axis=0)
    labels = np.repeat(generator.integers(0, 10, 500), 4)
    evidence = Evidence(logits, labels, np.arange(2000) < 1000)
    aware = dataclasses.replace(evidence, copies=np.repeat(np.arange(500), 4))
    ignorant, honest = (
        roc_auc_score(
            seen.is_member, boosted(seen, stratified_folds(seen, 5, np.random.default_rng(1)), 0)
        )
        for seen in (evidence, aware)
    )
    assert ignorant > 0.58
    assert honest < 0.55  # two standard errors of 250 and 250 images
