"""Features against their textbook formulas where those are safe, and finite where they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainables.attacks import features


@st.composite
def outputs(draw, bound, dtype=np.float64):
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 6))
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(-bound, bound, width=width)
    logits = draw(arrays(dtype, (n, k), elements=elements))
    return logits, draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def own(p, labels):
    return p[np.arange(len(labels)), labels]


@given(outputs(8))
def test_log_probabilities_are_the_log_of_the_softmax(given_outputs):
    logits, _ = given_outputs
    expected = np.log(softmax(logits))
    np.testing.assert_allclose(features.log_probabilities(logits), expected, atol=1e-9)


@given(outputs(8))
def test_scaled_confidence_is_the_log_odds_of_the_true_label(given_outputs):
    logits, labels = given_outputs
    p = own(softmax(logits), labels)
    expected = np.log(p / (1 - p))
    np.testing.assert_allclose(features.scaled_confidence(logits, labels), expected, atol=1e-6)


@given(outputs(8))
def test_entropies_are_those_of_their_formulas(given_outputs):
    logits, labels = given_outputs
    p = softmax(logits)
    np.testing.assert_allclose(features.entropy(logits), -(p * np.log(p)).sum(axis=1), atol=1e-9)
    modified = []
    for row, label in zip(p, labels, strict=True):
        value = -(1 - row[label]) * np.log(row[label])
        for j, p_j in enumerate(row):
            value -= p_j * np.log(1 - p_j) if j != label else 0
        modified.append(value)
    np.testing.assert_allclose(
        features.modified_entropy(logits, labels), modified, rtol=1e-6, atol=1e-6
    )


@given(outputs(8))
def test_correctness_is_one_where_no_other_logit_is_as_large(given_outputs):
    logits, labels = given_outputs
    right = features.correctness(logits, labels)
    mine = own(logits, labels)
    others = np.where(np.eye(logits.shape[1], dtype=bool)[labels], -np.inf, logits).max(axis=1)
    assert (right[mine > others] == 1).all()
    assert (right[mine < others] == 0).all()


def test_a_sure_mistake_has_the_modified_entropy_of_its_log_odds():
    """Where p_j rounds to 1, log(1 - p_j) is still that of the logits: -1000, not -37."""
    logits, labels = np.array([[1000.0, 0.0, 0.0]]), np.array([1])
    assert features.modified_entropy(logits, labels)[0] == pytest.approx(2000 - np.log(2))


@given(outputs(1000))
def test_everything_is_finite_at_extreme_logits(given_outputs):
    logits, labels = given_outputs
    assert np.isfinite(features.shared_features(logits, labels)).all()
    assert (features.entropy(logits) >= 0).all()
    assert (features.modified_entropy(logits, labels) >= 0).all()


@given(outputs(1000, np.float32))
def test_features_are_float64_and_leave_their_arguments_alone(given_outputs):
    logits, labels = given_outputs
    before = logits.copy(), labels.copy()
    result = features.shared_features(logits, labels)
    assert result.dtype == np.float64
    assert len(result) == len(labels)
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(labels, before[1])


@given(outputs(20), st.floats(-50, 50))
def test_adding_a_constant_to_all_logits_changes_nothing(given_outputs, shift):
    logits, labels = given_outputs
    np.testing.assert_allclose(
        features.scaled_confidence(logits + shift, labels),
        features.scaled_confidence(logits, labels),
        atol=1e-9,
    )


@given(outputs(20), st.floats(0.01, 100))
def test_tempered_logits_do_not_know_their_scale(given_outputs, factor):
    logits, labels = given_outputs
    logits = logits + 10 * np.eye(logits.shape[1])[labels] + 20  # no margin near 0
    tempered = features.tempered(logits, labels)
    np.testing.assert_allclose(features.tempered(logits * factor, labels), tempered, rtol=1e-6)
    np.testing.assert_array_equal(tempered.argmax(axis=1), logits.argmax(axis=1))


def test_tempered_logits_have_margins_of_the_typical_size():
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 4.0]])
    tempered = features.tempered(logits, np.array([0, 0, 2]))  # margins 2, -1, 4
    np.testing.assert_allclose(tempered, logits * features.TYPICAL_MARGIN / 2)


def test_logits_without_any_margin_stay_as_they_are():
    logits = np.zeros((3, 4))
    np.testing.assert_array_equal(features.tempered(logits, np.zeros(3, dtype=int)), logits)
