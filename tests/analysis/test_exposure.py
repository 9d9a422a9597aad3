"""Who leaks most: the exposed images are found, and measured by other models than chose them."""

import numpy as np
import pytest

from analysis import figures
from analysis.statistics.crossed_models import CrossedModels
from analysis.statistics.exposure import most_exposed
from analysis.statistics.trials import LOG4
from trainables.attacks.crossed import Terms
from trainables.attacks.gain import gain_terms
from trainables.data.cohort import reference_halves

MODELS, IMAGES = 8, 300
HALVES = reference_halves(IMAGES, MODELS, seed=3)


def models(probability: np.ndarray) -> CrossedModels:
    """probability: (m, n) that the attack gives to the truth."""
    of_member = np.where(HALVES, probability, 1 - probability)
    return CrossedModels(
        terms=Terms(gain_terms(of_member, HALVES), HALVES),
        right={},
        images={"validation": np.arange(0), "test": np.arange(0), "audited": 1000 + np.arange(300)},
    )


def test_planted_images_are_found_and_their_values_come_from_other_models() -> None:
    truth = np.full((MODELS, IMAGES), 0.5)
    truth[:, [7, 40]] = 0.99
    truth[:4, 100] = 0.999  # the luck of those that choose
    dense, winner = models(truth), models(np.full((MODELS, IMAGES), 0.5))
    found = most_exposed(dense, dense=dense, winner=winner, count=3)
    assert set(found.images) == {1007, 1040, 1100}
    assert found.images[-1] == 1100
    assert found.dense[-1] == pytest.approx(0)
    assert found.dense[:2] == pytest.approx(2 * np.log(0.99) + LOG4)
    assert found.winner == pytest.approx(np.zeros(3))


def test_without_a_leak_the_chosen_do_not_look_exposed() -> None:
    noise = np.random.default_rng(0).uniform(0.3, 0.7, (MODELS, IMAGES))
    kind = models(noise)
    found = most_exposed(kind, dense=kind, winner=kind, count=50)
    assert abs(found.dense.mean()) < 0.1
    chosen_and_measured = np.sort(2 * kind.terms.term.mean(axis=0) + LOG4)[-50:]
    assert chosen_and_measured.mean() > 0.15


def test_the_strip_names_every_value() -> None:
    kind = models(np.random.default_rng(1).uniform(0.3, 0.7, (MODELS, IMAGES)))
    found = most_exposed(kind, dense=kind, winner=kind, count=4)
    picture = figures.exposed({"them": found}, np.zeros((2000, 4, 4)))
    assert "Most exposed by them" in picture
    assert all(f"{value:.2f} → {value:.2f}" in picture for value in found.dense)
