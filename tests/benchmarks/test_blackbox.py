"""The blackbox of a table gives back the formula and the noise that the table was written with."""

import dataclasses

import numpy as np
import pytest

from tests.benchmarks import conftest as written
from tests.benchmarks.best_known import best_known
from tests.benchmarks.blackbox import held_out, tabulated
from tests.benchmarks.laboratory import Laboratory
from tests.benchmarks.noise import noise_of
from tests.benchmarks.synthetic import Formula
from tests.benchmarks.table import Table
from trainables.base.errors import InvalidInput

SEEDS = 200


@pytest.fixture(scope="module")
def vector(lenet5_space):
    """One that is in no table, near the bound."""
    return lenet5_space.counts({name: 0.23 for name in lenet5_space.groups})


def test_expectations_follow_the_formula(blackbox, vector, lenet5_space):
    sizes = lenet5_space.layer_weights
    truth = Formula(layer_weights=sizes)(np.log(np.array([vector]) / np.array(sizes)))
    found = blackbox.means([vector])
    assert found["leak"][0] == pytest.approx(truth["leak"][0], abs=0.006)
    assert found["leak_of_four"][0] == pytest.approx(0.9 * truth["leak"][0], abs=0.006)
    assert found["lost"][0] == pytest.approx(truth["lost"][0], abs=0.008)


def test_the_noise_of_each_figure_has_the_size_that_was_written(blackbox):
    noise = blackbox.noise
    assert noise.lost.own(0.01) == pytest.approx(written.OWN, rel=0.15)
    assert noise.family.own(0.01) == pytest.approx(written.FAMILY, rel=0.2)
    assert noise.gain.own(0.03) == pytest.approx(written.OF_PAIRS, rel=0.2)
    assert noise.images == pytest.approx(written.IMAGES, rel=0.2)
    assert noise.told.told(4) == pytest.approx(written.TOLD[0])
    assert noise.told.told(8) == pytest.approx(written.TOLD[1])


def test_noise_that_grows_with_its_figure_is_seen_to():
    generator = np.random.default_rng(0)
    expected = np.linspace(0, 1, 4000)
    own = generator.normal(size=(4000, 6)) * (0.1 + 0.4 * expected)[:, None]
    found = noise_of(expected[:, None] + own + [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], expected)
    assert (found.floor, found.slope) == (
        pytest.approx(0.1, abs=0.01),
        pytest.approx(0.4, rel=0.05),
    )
    assert found.common == pytest.approx(np.std(range(6), ddof=1), rel=0.02)


def spread(measure):
    return np.std([measure(seed) for seed in range(SEEDS)])


def test_four_models_scatter_half_as_much_as_one_and_sixteen_half_as_much_as_four(blackbox, vector):
    quiet = dataclasses.replace(
        blackbox.noise,
        images=0.0,
        lost=dataclasses.replace(blackbox.noise.lost, common=0.0),
        seen=dataclasses.replace(blackbox.noise.seen, common=0.0),
        gain=dataclasses.replace(blackbox.noise.gain, common=0.0),
    )
    box = dataclasses.replace(blackbox, noise=quiet)
    one = spread(lambda seed: Laboratory(box, seed).trial(vector)["val_accuracy"])
    four = spread(lambda seed: Laboratory(box, seed).race(vector).lost)
    sixteen = spread(lambda seed: Laboratory(box, seed).confirmed(vector).lost)
    assert one == pytest.approx(quiet.lost.own(0.0), rel=0.15)
    assert four == pytest.approx(one / 2, rel=0.15)
    assert sixteen == pytest.approx(one / 4, rel=0.15)
    leaks = [
        spread(lambda seed, ask=ask: ask(Laboratory(box, seed)).leak) for ask in (race, confirm)
    ]
    assert leaks[1] == pytest.approx(leaks[0] / 2, rel=0.15)


def race(laboratory):
    return laboratory.race(laboratory.blackbox.anchors[0])


def confirm(laboratory):
    return laboratory.confirmed(laboratory.blackbox.anchors[0])


def test_a_seed_fixes_every_answer_whatever_was_asked_before(blackbox, vector):
    first, second = Laboratory(blackbox, 3), Laboratory(blackbox, 3)
    before = (first.trial(vector), first.race(vector), first.confirmed(vector))
    second.trial(blackbox.anchors[2])
    assert (second.trial(vector), second.race(vector), second.confirmed(vector)) == before
    assert Laboratory(blackbox, 4).trial(vector) != before[0]


def test_all_vectors_share_the_luck_of_their_halves(blackbox, vector, lenet5_space):
    """Differences between two vectors scatter by what is their own alone."""
    other = lenet5_space.counts({name: 0.3 for name in lenet5_space.groups})
    noise = dataclasses.replace(
        blackbox.noise, seen=dataclasses.replace(blackbox.noise.seen, common=0.1)
    )
    box = dataclasses.replace(blackbox, noise=noise)

    def gap(seed):
        laboratory = Laboratory(box, seed)
        return laboratory.race(vector).lost - laboratory.race(other).lost

    assert spread(lambda seed: Laboratory(box, seed).race(vector).lost) > 0.03
    assert spread(lambda seed: Laboratory(box, seed).trial(vector)["val_accuracy"]) > 0.06
    assert spread(gap) < 0.01


def test_published_allocations_are_raced_by_models_that_do_not_judge_them(blackbox):
    n, own = next(iter(blackbox.measured.items()))
    for seed in range(6):
        laboratory = Laboratory(blackbox, seed)
        assert not set(laboratory._seen) & set(laboratory._judged)
        truth = laboratory.truth(n)
        assert truth.leak == pytest.approx(max(own.gains[laboratory._judged].mean(), 0.0))
        assert truth.lost == pytest.approx(own.lost[laboratory._judged].mean())
        assert laboratory.race(n).lost - laboratory._common_lost("race", 4) == pytest.approx(
            own.lost_validation[laboratory._seen].mean()
        )


def test_a_trial_is_feasible_by_the_rules_of_a_run(blackbox, lenet5_space):
    whole, laboratory = lenet5_space.layer_weights, Laboratory(blackbox, 0)
    result = laboratory.trial(whole)
    assert result["compression_violation"] == pytest.approx(1.0)  # twice as small was asked for
    assert result["accuracy_violation"] < 0


def test_cross_validated_errors_are_of_the_size_of_the_noise(table):
    found = held_out(table)
    assert set(found["leak"]) == {"Gaussian process", "boosted trees", "nearest neighbours"}
    assert found["leak"]["Gaussian process"].root_mean_square < 0.01
    assert found["leak"]["Gaussian process"].rank_correlation > 0.9


def test_a_table_of_a_few_vectors_is_refused(folder, config, lenet5_space):
    table = Table(folder)
    table.begin({})
    zeros = np.zeros((3, 8))
    sizes = lenet5_space.layer_weights
    table.put(written.row(-1, "dense", None, sizes, sizes, zeros, zeros[0, :2], zeros[0]))
    with pytest.raises(InvalidInput, match="holds 0 vectors"):
        tabulated(table, config)


def test_no_searched_vector_is_below_the_best_known(blackbox, lenet5_space):
    front = best_known(blackbox)
    generator = np.random.default_rng(1)
    for keeps in np.exp(generator.uniform(np.log(0.02), 0, (200, 5))):
        n = lenet5_space.counts(dict(zip(lenet5_space.groups, keeps, strict=True)))
        means = blackbox.means([n])
        if sum(lenet5_space.layer_weights) >= 2 * sum(n):
            assert means["leak"][0] >= front.at(means["lost"][0] + 0.0005) - 1e-3
    assert front.at(0.0) >= front.at(0.01) >= front.at(0.05)
