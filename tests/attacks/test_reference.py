"""The matched-reference attack against SciPy's normal, and a leak only it can find."""

import numpy as np
import pytest
from scipy.stats import norm

from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.folds import stratified_folds
from trainables.attacks.gain import attack_gain
from trainables.attacks.lira import online, pooled_variance, side_means
from trainables.attacks.reference import matched_references
from trainables.attacks.registry import ATTACKS, Setting
from trainables.config import AttackConfig
from trainables.records import REFERENCE, WITH_REFERENCES


def alternating(references, n):
    """(references, n): consecutive references complement one another."""
    generator = np.random.default_rng(7)
    halves = [generator.permutation(n) < n // 2 for _ in range(references // 2)]
    return np.array([side for half in halves for side in (half, ~half)])


def image_by_image(phi, trained_on):
    return [
        (phi[trained_on[:, i], i], phi[~trained_on[:, i], i], i) for i in range(trained_on.shape[1])
    ]


def test_ratio_is_that_of_scipys_normals_with_pooled_variances():
    generator = np.random.default_rng(0)
    trained_on = alternating(6, 30)
    phi, target = generator.normal(size=(6, 30)) * 2, generator.normal(size=30)
    rows = image_by_image(phi, trained_on)
    var_in = np.mean([inside.var(ddof=1) for inside, _, _ in rows])
    var_out = np.mean([outside.var(ddof=1) for _, outside, _ in rows])
    expected = [
        norm(inside.mean(), np.sqrt(var_in)).logpdf(target[i])
        - norm(outside.mean(), np.sqrt(var_out)).logpdf(target[i])
        for inside, outside, i in rows
    ]
    np.testing.assert_allclose(online(target, phi, trained_on), expected)
    means = side_means(phi, trained_on)
    np.testing.assert_allclose(means[0], [inside.mean() for inside, _, _ in rows])
    np.testing.assert_allclose(means[1], [outside.mean() for _, outside, _ in rows])
    assert pooled_variance(phi, trained_on, means[0]) == pytest.approx(var_in)


def test_unequal_counts_are_pooled_by_degrees_of_freedom():
    phi = np.array([[0.0, 5.0], [2.0, 0.0], [4.0, 9.0]])
    side = np.array([[True, True], [True, False], [True, False]])
    means = np.array([2.0, 5.0])
    assert pooled_variance(phi, side, means) == pytest.approx(4)  # the second image has none


def test_higher_means_member():
    trained_on = alternating(6, 20)
    phi = np.random.default_rng(0).normal(size=(6, 20)) + 3.0 * trained_on
    inside, outside = side_means(phi, trained_on)
    assert (online(inside, phi, trained_on) > 0).all()
    assert (online(outside, phi, trained_on) < 0).all()


def test_one_reference_on_each_side_gives_a_ratio_of_ordinary_size():
    """No image then shows a variance of its own; that of all images is the cautious stand-in."""
    generator = np.random.default_rng(0)
    trained_on = alternating(2, 200)
    phi = generator.normal(size=(2, 200)) + trained_on
    ratio = online(generator.normal(size=200), phi, trained_on)
    assert np.abs(ratio).max() < 50


def with_private_means(seed, n=1000, references=6):
    """Binary logits whose confidence is normal around a mean of each image's own.

    The means are spread over -6 to 6, membership adds 1.5: hidden to whoever sees one model only.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    is_member = generator.permutation(n) < n // 2
    means = generator.uniform(-6, 6, n)
    trained_on = alternating(references, n)

    def logits(inside):
        phi = means + 1.5 * inside + 0.5 * generator.normal(size=n)
        return phi[:, None] * (np.eye(2)[labels] - 0.5)

    target = logits(is_member)
    reference = ReferenceEvidence(np.stack([logits(inside) for inside in trained_on]), trained_on)
    return Evidence(target, labels, is_member, reference)


def test_references_find_what_no_attack_without_them_can():
    evidence = with_private_means(0)
    folds = stratified_folds(evidence, 2, np.random.default_rng(0))
    setting = Setting(config=AttackConfig(folds=2, neural_epochs=2), seed=0, device="cpu")
    gains = {
        name: attack_gain(attack(evidence, folds, setting), evidence.is_member).value
        for name, attack in ATTACKS.items()
    }
    others = max(gain for name, gain in gains.items() if name not in WITH_REFERENCES)
    assert gains[REFERENCE] > others + 0.4
    assert gains[REFERENCE] > -0.8  # known means: 2 JS = 1.06, gain -0.33


def test_references_of_another_kind_of_model_do_no_harm(planted):
    """Outputs that say nothing about membership cost the attack next to nothing."""
    evidence = planted(n=1000, leak=0.0, references=4)
    folds = stratified_folds(evidence, 2, np.random.default_rng(0))
    gain = attack_gain(matched_references(evidence, folds), evidence.is_member)
    assert abs(gain.value + np.log(4)) < max(3 * gain.standard_error, 0.06)


def test_without_references_the_attack_refuses(planted):
    with pytest.raises(ValueError, match="needs reference"):
        matched_references(planted(), np.arange(400) % 2)
