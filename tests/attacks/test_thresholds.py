"""Thresholds against brute force, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.thresholds import (
    ENOUGH,
    METRICS,
    best_threshold,
    class_thresholds,
    metric_attack,
)

scored = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=20)


def advantage(scores, is_member, threshold):
    above = scores >= threshold
    true_rate = above[is_member].sum() / max(is_member.sum(), 1)
    return true_rate - above[~is_member].sum() / max((~is_member).sum(), 1)


@given(scored)
def test_best_threshold_has_the_greatest_advantage_of_all(pairs):
    scores = np.array([score for score, _ in pairs], dtype=float)
    is_member = np.array([member for _, member in pairs])
    candidates = [*np.unique(scores), np.inf]
    best = max(advantage(scores, is_member, threshold) for threshold in candidates)
    found = advantage(scores, is_member, best_threshold(scores, is_member))
    if is_member.any():
        assert found == pytest.approx(best)
    else:  # every threshold is wrong; "member iff" has none that says "nobody"
        assert found <= best


def test_best_threshold_does_not_need_sorted_scores():
    scores, is_member = np.array([3.0, 0, 2, 1]), np.array([True, False, True, False])
    assert best_threshold(scores, is_member) == 2


def test_a_rare_class_shares_the_pooled_threshold():
    generator = np.random.default_rng(0)
    counts = (ENOUGH, ENOUGH - 1, 0, 2 * ENOUGH)
    labels = np.repeat(np.arange(4), counts)
    is_member = np.arange(len(labels)) % 2 == 0
    scores = generator.normal(size=len(labels)) + 5 * labels + 2 * is_member
    thresholds = class_thresholds(scores, labels, is_member)
    pooled = best_threshold(scores, is_member)
    expected = [
        best_threshold(scores[labels == label], is_member[labels == label])
        if counts[label] >= ENOUGH
        else pooled
        for label in range(4)
    ]
    np.testing.assert_array_equal(thresholds, expected)


def test_class_thresholds_find_what_one_threshold_cannot(planted):
    """Members score 2 higher, but one class scores 20 higher than the other."""
    evidence = planted(n=4800, k=2)
    own = np.where(evidence.labels == 1, 20, 0) + 2.0 * evidence.is_member - 1
    evidence.logits[:] = own[:, None] * np.eye(2)[evidence.labels]
    folds = np.arange(4800) % 2
    gain = attack_gain(metric_attack("confidence", evidence, folds), evidence.is_member)
    assert gain.value > -0.2
    assert gain.value > NO_LEAK + 1


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_higher_for_a_surer_right_answer(planted, name):
    evidence = planted(n=40)
    evidence.logits[:] = np.linspace(-3, 3, 40)[:, None] * np.eye(4)[evidence.labels]
    scores = METRICS[name](evidence)
    assert scores[-1] > scores[20] or name == "correctness"
    assert scores[-1] >= scores[0]
    right = scores[21:]
    assert (np.diff(right) >= 0).all()
