"""LiRA against SciPy's normal distribution, image by image, and on Gaussians of known overlap."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from trainables.attacks.lira import offline, online


def halves(references, n, seed=0):
    generator = np.random.default_rng(seed)
    sides = [generator.permutation(n) < n // 2 for _ in range(references // 2)]
    return np.array([side for half in sides for side in (half, ~half)])


def drawn(separation, n=4000, references=64, seed=0):
    """phi = mean of the image + separation * IN + unit noise: (target, is_member, phi, IN)."""
    generator = np.random.default_rng(seed)
    means = generator.normal(size=n) * 3
    is_member = generator.permutation(n) < n // 2
    trained_on = halves(references, n, seed)
    phi = means + separation * trained_on + generator.normal(size=(references, n))
    return means + separation * is_member + generator.normal(size=n), is_member, phi, trained_on


@pytest.mark.parametrize("fixed", [True, False])
def test_online_is_the_ratio_of_two_normals_image_by_image(fixed):
    target, _, phi, trained_on = drawn(1.0, n=30, references=8)
    sides = [(phi[trained_on[:, i], i], phi[~trained_on[:, i], i]) for i in range(30)]
    pooled = [np.sqrt(np.mean([side[k].var(ddof=1) for side in sides])) for k in (0, 1)]
    expected = []
    for value, (inside, outside) in zip(target, sides, strict=True):
        own = pooled if fixed else (inside.std(ddof=1), outside.std(ddof=1))
        expected.append(
            norm(inside.mean(), own[0]).logpdf(value) - norm(outside.mean(), own[1]).logpdf(value)
        )
    np.testing.assert_allclose(online(target, phi, trained_on, fixed_variance=fixed), expected)


def test_offline_asks_how_unlikely_so_high_a_confidence_is_outside():
    target, _, phi, trained_on = drawn(1.0, n=30, references=8)
    sides = [phi[~trained_on[:, i], i] for i in range(30)]
    deviation = np.sqrt(np.mean([side.var(ddof=1) for side in sides]))
    expected = [
        norm(side.mean(), deviation).logcdf(value)
        for value, side in zip(target, sides, strict=True)
    ]
    np.testing.assert_allclose(offline(target, phi, trained_on), expected)


def test_offline_ignores_references_that_trained_on_the_image():
    target, _, phi, trained_on = drawn(1.0, n=30, references=8)
    changed = np.where(trained_on, 1e6, phi)
    np.testing.assert_array_equal(
        offline(target, phi, trained_on), offline(target, changed, trained_on)
    )


@pytest.mark.parametrize("separation", [0.5, 1.0, 2.0])
def test_with_many_references_the_auc_is_that_of_two_gaussians(separation):
    """Two normals a separation apart overlap with AUC = Phi(separation / sqrt 2)."""
    target, is_member, phi, trained_on = drawn(separation)
    known = norm.cdf(separation / np.sqrt(2))
    for attack in (online, offline):
        found = roc_auc_score(is_member, attack(target, phi, trained_on))
        assert found == pytest.approx(known, abs=0.025)


@pytest.mark.parametrize("attack", [online, offline])
def test_without_a_leak_there_is_nothing_to_find(attack):
    target, is_member, phi, trained_on = drawn(0.0)
    assert roc_auc_score(is_member, attack(target, phi, trained_on)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("attack", [online, offline])
def test_full_memorisation_is_found_whole(attack):
    target, is_member, phi, trained_on = drawn(40.0)
    assert roc_auc_score(is_member, attack(target, phi, trained_on)) == 1


def test_a_variance_of_its_own_needs_two_references_on_each_side():
    target, _, phi, trained_on = drawn(1.0, n=30, references=2)
    with pytest.raises(ValueError, match="two references"):
        online(target, phi, trained_on, fixed_variance=False)


def published_online(target, phi, trained_on, *, average, fixed):
    """LiRA as tensorflow-privacy 0.9 computes it, image by image: biased deviations."""
    sides = [[phi[side[:, i], i] for i in range(len(target))] for side in (trained_on, ~trained_on)]
    centres = [[average(values) for values in side] for side in sides]
    scores = []
    for i, value in enumerate(target):
        logs = []
        for side, centre in zip(sides, centres, strict=True):
            every = np.concatenate([v - c for v, c in zip(side, centre, strict=True)])
            deviation = every.std() if fixed else side[i].std()
            logs.append(-((value - centre[i]) ** 2) / (2 * deviation**2) - np.log(deviation))
        scores.append(logs[0] - logs[1])
    return np.array(scores)


@pytest.mark.parametrize("fixed", [True, False])
def test_it_is_the_published_arithmetic_but_for_unbiased_variances(fixed):
    """Where all sides hold m references, deviations stretched by sqrt(m / (m - 1)) are unbiased."""
    target, _, phi, trained_on = drawn(1.0, n=40, references=8)
    stretched = phi.copy()
    for i in range(40):
        for side in (trained_on[:, i], ~trained_on[:, i]):
            mean = phi[side, i].mean()
            stretched[side, i] = mean + (phi[side, i] - mean) * np.sqrt(4 / 3)
    published = published_online(target, stretched, trained_on, average=np.mean, fixed=fixed)
    ours = online(target, phi, trained_on, fixed_variance=fixed)
    np.testing.assert_allclose(ours, published, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [True, False])
def test_means_and_unbiased_variances_find_no_less_than_the_published_medians(fixed):
    target, is_member, phi, trained_on = drawn(1.0, n=1000, references=16)
    published = published_online(target, phi, trained_on, average=np.median, fixed=fixed)
    ours = online(target, phi, trained_on, fixed_variance=fixed)
    areas = [roc_auc_score(is_member, scores) for scores in (ours, published)]
    assert areas[0] > areas[1] > 0.65
