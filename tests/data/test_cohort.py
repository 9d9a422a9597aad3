"""Who sees which images: what a defence trains on is never what an audit compares with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.cohort import MOST_POPULATION, Cohort, for_defences, for_population
from trainables.data.split import five_way_split
from trainables.defenses.minmax import Adversary
from trainables.models.building import build_model

PARTS = ("members", "non_members", "validation", "test", "reserve", "population")


def test_no_image_of_a_cohort_is_for_two_things(mnist5k_cohort: Cohort) -> None:
    parts = [set(getattr(mnist5k_cohort, name).tolist()) for name in PARTS]
    assert len(set().union(*parts)) == sum(map(len, parts))
    assert [len(part) for part in parts] == [1000, 1000, 1000, 1000, 500, 500]


def test_both_halves_hold_as_many_of_each_class(mnist5k_cohort: Cohort) -> None:
    labels = mnist5k_cohort.images.labels
    one, two = (
        np.bincount(labels[getattr(mnist5k_cohort, name)], minlength=10)
        for name in ("reserve", "population")
    )
    assert np.abs(one - two).max() <= 1


@given(st.integers(2, 40), st.integers(0, 5))
def test_the_halves_are_disjoint_in_any_split_and_always_the_same(each: int, seed: int) -> None:
    labels = np.repeat(np.arange(3), 5 * each)
    parts = ("members", "non_members", "validation", "test", "reserve")
    reserve = five_way_split(labels, dict.fromkeys(parts, 0.2), seed).reserve
    before = reserve.copy()
    one, two = for_defences(reserve), for_population(reserve)
    assert set(one.tolist()) | set(two.tolist()) == set(reserve.tolist())
    assert not set(one.tolist()) & set(two.tolist())
    assert len(one) - len(two) in (0, 1)
    assert (for_defences(reserve) == one).all()
    assert (reserve == before).all()


@pytest.mark.parametrize("size", [2, 4999, 5000, 60_000])
def test_a_large_population_is_thinned_out_evenly(size: int) -> None:
    chosen = for_population(np.arange(size))
    assert len(chosen) == min(size // 2, MOST_POPULATION)
    assert len(set(chosen.tolist())) == len(chosen)
    assert chosen[0] <= 1
    assert chosen[-1] >= size - 2


def test_the_inner_attacker_never_draws_an_image_that_rmia_compares_with(
    mnist5k_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=0)
    beside = Adversary(
        network, mnist5k_cohort, gamma=1.0, inner_steps=50, batch_size=64, n_classes=10, seed=0
    )
    seen: list[int] = []
    released = beside._released
    monkeypatch.setattr(
        beside, "_released", lambda indices: (seen.extend(indices.tolist()), released(indices))[1]
    )
    some = mnist5k_cohort.members[:8]
    beside.loss(network(mnist5k_cohort.images.batch(some)), mnist5k_cohort.images.labels[some])
    assert len(set(seen)) > 500
    assert not set(seen) & set(mnist5k_cohort.population.tolist())
