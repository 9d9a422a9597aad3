"""Whether a network looks trained on its named members, from its outputs alone."""

import numpy as np
import pytest

from trainables.attacks.fit_to_members import (
    LARGEST_LOSS,
    Fit,
    fit_to_members,
    fits_alike,
    match_in_words,
)


def outputs(margin: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits whose true class stands out by `margin` more where the image was trained on."""
    generator = np.random.default_rng(seed)
    labels, is_member = generator.integers(5, size=2000), np.arange(2000) < 1000
    logits = generator.normal(size=(2000, 5))
    logits[np.arange(2000), labels] += 1 + margin * is_member
    return logits, labels, is_member


def test_the_figures_are_those_of_the_definition() -> None:
    logits = np.log(np.array([[0.5, 0.5], [0.75, 0.25], [0.2, 0.8]]))
    found = fit_to_members(logits, np.array([0, 0, 0]), np.array([True, True, False]))
    assert found.loss == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert found.loss_outside == pytest.approx(-np.log(0.2))
    assert (found.accuracy, found.accuracy_outside) == (1.0, 0.0)


def test_members_that_were_trained_on_are_not_doubted() -> None:
    assert fit_to_members(*outputs(1.0)).doubt is None


def test_a_wrong_list_is_noticed() -> None:
    logits, labels, is_member = outputs(1.0)
    shuffled = np.random.default_rng(1).permutation(is_member)
    doubt = fit_to_members(logits, labels, shuffled).doubt
    assert doubt is not None
    assert doubt.startswith("The members do not look trained on")


def test_exchanged_lists_are_noticed() -> None:
    logits, labels, is_member = outputs(1.0)
    doubt = fit_to_members(logits, labels, ~is_member).doubt
    assert doubt is not None
    assert doubt.endswith("are the lists exchanged?")


def test_one_absurd_output_does_not_hide_the_others() -> None:
    logits, labels, is_member = outputs(1.0)
    logits[0] = -1e6 * np.eye(5)[labels[0]]
    found = fit_to_members(logits, labels, is_member)
    assert found.doubt is None
    assert found.loss < LARGEST_LOSS / 10


def fit(loss: float, loss_outside: float) -> Fit:
    return Fit(accuracy=1.0, accuracy_outside=0.9, loss=loss, loss_outside=loss_outside, error=0.01)


def test_references_that_overfit_less_say_that_the_leak_may_be_larger() -> None:
    assert fits_alike(fit(0.01, 0.30), fit(0.02, 0.33))
    assert match_in_words(fit(0.01, 0.30), fit(0.02, 0.33)).startswith("The reference models match")
    less = match_in_words(fit(0.10, 0.20), fit(0.01, 0.40))
    assert less.startswith("Your references overfit less than your network: the leak may be larger")
    more = match_in_words(fit(0.01, 0.60), fit(0.01, 0.30))
    assert more.startswith("Your references overfit more than your network")
