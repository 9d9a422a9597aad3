"""Errors of crossed clusters: known tables, planted effects that intervals cover, bad input."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.attacks import crossed
from trainables.attacks.crossed import Estimate, Terms
from trainables.attacks.gain import NO_LEAK
from trainables.data.cohort import reference_halves

EXCESS, LESS = 0.1, 0.03
"""Excess gains of the two planted kinds, in nats."""


def table(generator, halves, gain, effects, *, of_model=0.03, of_image=0.3, noise=0.3):
    """Terms whose expected sum over both sides is `gain`.

    effects: (m,) and (2, n) standard normal effects of models, and of images from either side. The
    inside level is 0.6 below the outside one, as terms of members and of others differ.
    """
    models, images = effects
    term = gain / 2 + of_model / 2 * models[:, None] + np.where(halves, -0.3, 0.3)
    term = term + of_image / math.sqrt(2) * np.where(halves, *images)
    return Terms(term + noise / math.sqrt(2) * generator.standard_normal(halves.shape), halves)


def planted(seed, models=8, images=300, excess=(EXCESS, LESS), **sizes):
    """Two kinds of models on common halves; their effects correlate by a half."""
    generator = np.random.default_rng(seed)
    halves = reference_halves(images, models, seed)

    def drawn():
        return generator.standard_normal(models), generator.standard_normal((2, images))

    common, own = drawn(), drawn()
    mixed = tuple((a + math.sqrt(3) * b) / 2 for a, b in zip(common, own, strict=True))
    return tuple(
        table(generator, halves, value + NO_LEAK, effects, **sizes)
        for value, effects in zip(excess, (common, mixed), strict=True)
    )


def covered(estimate, truth):
    low, high = estimate.interval()
    return low <= truth <= high


@pytest.mark.parametrize(
    ("models", "effect"),
    [pytest.param(8, 0.03, id="both"), pytest.param(16, 0.06, id="mostly models")],
)
def test_intervals_cover_planted_effects_in_93_to_97_of_100_audits(models, effect):
    hits = np.zeros(3)
    for seed in range(1000):
        dense, pruned = planted(seed, models, images=150, of_model=effect)
        hits += [
            covered(crossed.excess(dense), EXCESS),
            covered(crossed.difference(dense, pruned), EXCESS - LESS),
            covered(crossed.ratio(pruned, dense), LESS / EXCESS),
        ]
    assert ((hits >= 930) & (hits <= 970)).all(), hits


@pytest.mark.parametrize(("effect", "images"), [(0.0, 0.4), (0.05, 0.0), (0.05, 0.3)])
def test_two_pairs_of_models_err_on_the_wide_side(effect, images):
    """With three degrees of freedom at best, nothing tells a small component from none."""
    hits = [
        covered(crossed.excess(planted(seed, 4, of_model=effect, of_image=images)[0]), EXCESS)
        for seed in range(1000)
    ]
    assert 0.935 <= np.mean(hits) <= 0.985


def test_coverage_of_a_paired_drop_in_accuracy():
    hits = 0
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        hard = generator.standard_normal(400)
        luck = 0.1 * generator.standard_normal((2, 8, 1))
        scores = 1.5 + luck + hard + generator.standard_normal((2, 8, 400))
        correct = scores[0] > 0, scores[1] > 0.2
        truth = normal_above(0.0) - normal_above(0.2)
        hits += covered(crossed.paired_drop(*correct), truth)
    assert 930 <= hits <= 970


def test_coverage_of_a_drop_on_unseen_images_which_is_known_better():
    hits, errors = 0, []
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        halves = reference_halves(400, 16, seed)
        luck = 0.05 * generator.standard_normal((2, 16, 1))
        scores = [
            1.5 + luck + generator.standard_normal(400) + generator.standard_normal((2, 16, 400))
            for _ in range(2)
        ]
        scores[1] += 3 * halves  # a member is nearly always classified correctly
        validation, audited = ((each[0] > 0, each[1] > 0.2) for each in scores)
        found = crossed.unseen_drop(validation, audited, halves)
        hits += covered(found, normal_above(0.0) - normal_above(0.2))
        errors.append((found.standard_error, crossed.paired_drop(*validation).standard_error))
    assert 930 <= hits <= 970
    both, alone = np.mean(errors, axis=0)
    assert both < 0.9 * alone


def test_copies_of_an_image_count_once_in_a_drop_on_unseen_images():
    generator = np.random.default_rng(0)
    halves = np.repeat(reference_halves(100, 4, 0), 2, axis=1)  # each image twice
    validation = tuple(generator.random((4, 50)) < p for p in (0.9, 0.8))
    audited = tuple(np.repeat(generator.random((4, 100)) < p, 2, axis=1) for p in (0.9, 0.8))
    once = crossed.unseen_drop(validation, tuple(one[:, ::2] for one in audited), halves[:, ::2])
    twice = crossed.unseen_drop(validation, audited, halves, np.repeat(np.arange(100), 2))
    assert twice == once


def normal_above(threshold):
    return 0.5 * math.erfc((threshold - 1.5) / math.sqrt(2 * 2.01))


def test_value_is_the_mean_of_the_models_own_gains():
    terms, _ = planted(3)
    halves = terms.trained_on
    own = [t[h].mean() + t[~h].mean() for t, h in zip(terms.term, halves, strict=True)]
    assert crossed.mean_gain(terms).value == pytest.approx(np.mean(own))
    assert crossed.excess(terms).value == pytest.approx(np.mean(own) + math.log(4))


def test_a_paired_difference_is_that_of_the_values_and_more_certain_than_two_separate_gains():
    dense, pruned = planted(1, of_model=0.1)
    result = crossed.difference(dense, pruned)
    gains = crossed.mean_gain(dense), crossed.mean_gain(pruned)
    assert result.value == pytest.approx(gains[0].value - gains[1].value)
    assert result.standard_error < math.hypot(*(gain.standard_error for gain in gains))


def test_the_levels_of_members_and_of_others_do_not_enter_the_error():
    terms, _ = planted(0)
    shifted = dataclasses.replace(terms, term=terms.term + np.where(terms.trained_on, 5.0, -5.0))
    same = crossed.mean_gain(shifted)
    assert same.value == pytest.approx(crossed.mean_gain(terms).value)
    assert same.standard_error == pytest.approx(crossed.mean_gain(terms).standard_error)


def test_an_effect_of_models_alone_leaves_the_plain_error_of_a_mean_of_m_models():
    halves = reference_halves(40_000, 6, 0)
    luck = np.random.default_rng(0).standard_normal(6)
    gain = crossed.mean_gain(Terms(np.broadcast_to(luck[:, None], halves.shape), halves))
    assert gain.value == pytest.approx(2 * luck.mean())
    assert gain.standard_error == pytest.approx(2 * luck.std(ddof=1) / math.sqrt(6), rel=0.02)
    assert gain.degrees_of_freedom == pytest.approx(5, rel=0.02)


def test_the_error_does_not_shrink_when_images_are_counted_twice():
    """As copies they are one image each; taken for different images they would look like more."""
    terms, _ = planted(0, images=200)
    twice = [np.concatenate([part, part], axis=1) for part in (terms.term, terms.trained_on)]
    copies = np.arange(400) % 200
    known = crossed.mean_gain(Terms(*twice, copies))
    once = crossed.mean_gain(terms)
    assert known.value == pytest.approx(once.value)
    assert known.standard_error == pytest.approx(once.standard_error, rel=1e-3)
    assert crossed.mean_gain(Terms(*twice)).standard_error < 0.9 * known.standard_error


def test_a_ratio_to_nothing_is_not_bounded():
    leaky, none = planted(0, excess=(EXCESS, 0.0))
    assert crossed.ratio(leaky, none).interval() == (-math.inf, math.inf)
    flat = Terms(np.full(none.term.shape, NO_LEAK / 2), none.trained_on)
    nothing = crossed.ratio(leaky, flat)
    assert math.isnan(nothing.value)
    assert math.isinf(nothing.standard_error)
    assert nothing.interval() == (-math.inf, math.inf)


def test_fiellers_interval_is_that_of_the_delta_method_where_the_denominator_is_certain():
    dense, pruned = planted(0, images=20_000, excess=(1.0, 0.5), of_model=0.001)
    result = crossed.ratio(pruned, dense)
    plain = Estimate(result.value, result.standard_error, result.degrees_of_freedom)
    assert result.interval() == pytest.approx(plain.interval(), abs=1e-4)


def test_a_higher_level_is_wider_and_a_nonsensical_one_is_refused():
    estimate = Estimate(0.0, 1.0, math.inf)
    assert estimate.interval() == pytest.approx((-1.96, 1.96), abs=0.001)
    assert estimate.interval(0.99)[1] > 2.5
    with pytest.raises(ValueError, match=r"between 0 and 1, got 95"):
        estimate.interval(95)


@given(seed=st.integers(0, 1000), models=st.sampled_from([4, 6, 8]), images=st.integers(4, 30))
@settings(max_examples=40, deadline=None)
def test_order_of_pairs_of_their_models_and_of_images_does_not_matter(seed, models, images):
    first, second = planted(seed, models, images)
    generator = np.random.default_rng(seed)
    pairs = generator.permutation(models // 2)
    swap = generator.integers(2, size=models // 2)
    order = np.column_stack([2 * pairs + swap, 2 * pairs + 1 - swap]).ravel()
    place = np.ix_(order, generator.permutation(images))
    moved = [Terms(each.term[place], each.trained_on[place]) for each in (first, second)]
    before, after = crossed.difference(first, second), crossed.difference(*moved)
    assert dataclasses.astuple(after) == pytest.approx(dataclasses.astuple(before), rel=1e-6)
    before, after = crossed.ratio(second, first), crossed.ratio(*reversed(moved))
    assert after.interval() == pytest.approx(before.interval(), rel=1e-6)


def halves(models, images=10):
    return np.arange(models)[:, None] % 2 == np.arange(images) % 2


@pytest.mark.parametrize(
    ("trained_on", "message"),
    [
        (halves(5), "at least 4 models, got 5"),
        (halves(2), "at least 4 models, got 2"),
        (halves(4)[[0, 1, 2, 2]], "models 2 and 3 do not have complementary halves"),
        (halves(4).astype(int), r"must be bool \(models, images\), got int64 \(4, 10\)"),
        (halves(4)[0], r"got bool \(10,\)"),
        (halves(4, 1), "at least two images are needed, got 1"),
    ],
)
def test_halves_that_are_not_complementary_pairs_are_refused(trained_on, message):
    with pytest.raises(ValueError, match=message):
        Terms(np.zeros(trained_on.shape), trained_on)


def test_terms_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"terms \(4, 9\) do not fit halves \(4, 10\)"):
        Terms(np.zeros((4, 9)), halves(4))
    with pytest.raises(ValueError, match="1 terms are not finite"):
        Terms(np.where(np.arange(40).reshape(4, 10) == 3, np.nan, 0), halves(4))
    with pytest.raises(ValueError, match=r"copies \(9,\) do not fit 10 images"):
        Terms(np.zeros((4, 10)), halves(4), np.arange(9))


def test_kinds_that_share_no_halves_or_images_are_not_compared():
    first, _ = planted(0)
    other, _ = planted(1)
    with pytest.raises(ValueError, match="are not the same"):
        crossed.difference(first, other)
    copies = np.arange(300) // 2
    with pytest.raises(ValueError, match="other copies"):
        crossed.ratio(first, dataclasses.replace(first, copies=copies))
    with pytest.raises(ValueError, match=r"got \(3, 5\) and \(3, 4\)"):
        crossed.paired_drop(np.ones((3, 5), bool), np.ones((3, 4), bool))
