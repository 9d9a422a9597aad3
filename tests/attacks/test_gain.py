"""The attack gain against the cross-entropy, the bootstrap and its bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from trainables.attacks.gain import FLOOR, NO_LEAK, attack_gain, gain_of_terms, gain_terms


def balanced(pairs):
    return np.arange(2 * pairs) % 2 == 0


probabilities = st.integers(2, 20).flatmap(
    lambda pairs: arrays(np.float64, 2 * pairs, elements=st.floats(0, 1))
)


@given(probabilities)
def test_gain_is_minus_twice_the_cross_entropy_and_never_positive(p):
    is_member = balanced(len(p) // 2)
    gain = attack_gain(p, is_member)
    assert gain.value <= 0
    assert gain.standard_error >= 0
    kept = np.clip(p, FLOOR, 1 - FLOOR)
    assert gain.value == pytest.approx(-2 * log_loss(is_member, kept))


@given(st.integers(2, 50))
def test_a_constant_half_gains_minus_log_4_without_error(pairs):
    gain = attack_gain(np.full(2 * pairs, 0.5), balanced(pairs))
    assert gain.value == pytest.approx(-math.log(4))
    assert pytest.approx(-math.log(4)) == NO_LEAK
    assert gain.standard_error == pytest.approx(0, abs=1e-12)


@given(probabilities)
def test_swapping_members_and_complementing_the_probabilities_changes_nothing(p):
    is_member = balanced(len(p) // 2)
    swapped = attack_gain(1 - p, ~is_member)
    assert swapped.value == pytest.approx(attack_gain(p, is_member).value)


def test_standard_error_is_that_of_the_bootstrap():
    generator = np.random.default_rng(0)
    is_member = balanced(400)
    p = generator.beta(np.where(is_member, 3, 2), 2)
    terms = gain_terms(p, is_member)
    resampled = [
        sum(generator.choice(terms[is_member == side], 400).mean() for side in (True, False))
        for _ in range(2000)
    ]
    gain = gain_of_terms(terms, is_member)
    assert gain.standard_error == pytest.approx(np.std(resampled), rel=0.1)  # 1.6% of noise
    assert gain.value == pytest.approx(np.mean(resampled), abs=0.2 * gain.standard_error)


def test_one_sure_mistake_costs_a_finite_amount_and_certainty_reaches_a_full_leak():
    is_member = balanced(2)
    sure = is_member.astype(float)
    assert attack_gain(sure, is_member).value == pytest.approx(0, abs=0.003)
    assert attack_gain(1 - sure, is_member).value == pytest.approx(2 * math.log(FLOOR))


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="probabilities"):
        gain_terms(np.array([0.5, wrong]), balanced(1))


def test_terms_leave_their_arguments_alone():
    p = np.array([0.0, 1.0])
    gain_terms(p, balanced(1))
    np.testing.assert_array_equal(p, [0, 1])
