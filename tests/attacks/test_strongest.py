"""The audit against leaks of known size: none, all of it, and two normals in between."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.registry import ATTACKS
from trainables.attacks.strongest import (
    balanced_accuracy,
    strongest_attack,
    strongest_by_fold,
    tpr_at,
)
from trainables.config import AttackConfig
from trainables.records import NETWORKS, WITH_REFERENCES

CHEAP = AttackConfig(folds=3, neural_epochs=2)


def half_of(n, generator):
    return generator.permutation(n) < n // 2


def without_leak(seed, n=600, k=10):
    """Outputs of images drawn alike; membership is dealt afterwards."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(k, size=n)
    logits = 3 * generator.normal(size=(n, k)) + 4 * np.eye(k)[labels]
    return Evidence(logits, labels, half_of(n, generator))


def memorised(seed, n=1000, k=10):
    """Random labels learned by heart: right and sure on members, chance on the others."""
    generator = np.random.default_rng(seed)
    labels, guess = generator.integers(k, size=(2, n))
    is_member = half_of(n, generator)
    says = np.where(is_member, labels, guess)
    logits = 0.5 * generator.normal(size=(n, k)) + 10 * np.eye(k)[says]
    return Evidence(logits, labels, is_member)


def two_normals(shift, seed, n):
    """Two classes; the log-odds of the true label are N(shift, 1) for members, else N(0, 1)."""
    generator = np.random.default_rng(seed)
    labels, is_member = generator.integers(2, size=n), half_of(n, generator)
    phi = generator.normal(size=n) + shift * is_member
    return Evidence(phi[:, None] * (np.eye(2)[labels] - 0.5), labels, is_member)


def js_of_normals(shift):
    def halves(x):
        p, q = norm.pdf(x, shift), norm.pdf(x)
        return (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2

    return quad(halves, -8, 8 + shift)[0]


@pytest.fixture(scope="module")
def audits_without_leak():
    return [strongest_attack(without_leak(seed), CHEAP, seed) for seed in range(8)]


@pytest.mark.slow
def test_without_leak_no_audit_finds_one(audits_without_leak):
    for found in audits_without_leak:
        assert -0.05 <= found.excess_gain <= 3 * found.attack_gain_se + 1e-9
        assert found.attack_auc == pytest.approx(0.5, abs=3 / math.sqrt(12 * 300 / 2))
        assert found.attack_accuracy == pytest.approx(0.5, abs=3 * 0.5 / math.sqrt(600))


@pytest.mark.slow
def test_without_leak_the_choice_of_the_strongest_is_not_biased_upward(audits_without_leak):
    excess = np.array([found.excess_gain for found in audits_without_leak])
    errors = np.array([found.attack_gain_se for found in audits_without_leak])
    assert excess.mean() <= 2 * np.sqrt(np.square(errors).sum()) / 8 + 1e-9


def test_random_labels_learned_by_heart_leak_nearly_everything():
    found = strongest_attack(memorised(0), CHEAP, 0)
    ideal = np.log(1 / 1.1) + 0.9 * np.log(1) + 0.1 * np.log(0.1 / 1.1)  # a tenth is guessed right
    assert found.excess_gain == pytest.approx(
        ideal + math.log(4), abs=4 * found.attack_gain_se + 0.03
    )


def test_members_told_apart_by_certainty_leak_log_4():
    evidence = memorised(1)
    surer = evidence.logits * np.where(evidence.is_member, 1, 0.3)[:, None]
    found = strongest_attack(dataclasses.replace(evidence, logits=surer), CHEAP, 0)
    assert 1.2 <= found.excess_gain <= math.log(4)
    assert found.attack_auc > 0.99
    assert found.attack_accuracy > 0.98
    assert found.tpr_at_1pct_fpr > 0.95


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_two_normals_leak_nearly_twice_their_js_divergence(shift):
    found = strongest_attack(two_normals(shift, 0, n=3000), CHEAP, 0)
    twice = 2 * js_of_normals(shift)
    assert found.excess_gain <= twice + 3 * found.attack_gain_se
    assert found.excess_gain >= twice - 3 * found.attack_gain_se - 0.01
    assert found.attack_accuracy == pytest.approx(norm.cdf(shift / 2), abs=0.03)
    assert found.attack_auc == pytest.approx(norm.cdf(shift / math.sqrt(2)), abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_divergence_is_measured_apart_from_the_attacks(shift):
    evidence = two_normals(shift, 0, n=3000)
    found = strongest_attack(evidence, CHEAP, 0)
    assert found.js_divergence == pytest.approx(
        js_of_normals(shift), abs=3 * found.js_divergence_se + 0.002
    )
    assert strongest_attack(evidence, CHEAP, 1).js_divergence == found.js_divergence


def test_js_of_normals_agrees_with_the_mutual_information_of_membership():
    """The oracle itself: JS is the drop from log 2 of the best attack's cross-entropy."""
    x = np.random.default_rng(0).normal(size=200_000) + 1.0
    cross_entropy = np.logaddexp(0, -(x - 0.5)).mean()
    assert js_of_normals(1.0) == pytest.approx(math.log(2) - cross_entropy, abs=0.004)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_model_cannot_look_private_by_scaling_its_logits(factor):
    evidence = two_normals(1.0, 1, n=1500)
    plain = strongest_attack(evidence, CHEAP, 0)
    scaled = strongest_attack(
        dataclasses.replace(evidence, logits=evidence.logits * factor), CHEAP, 0
    )
    assert scaled.excess_gain >= plain.excess_gain - plain.attack_gain_se
    assert scaled.attack_auc == pytest.approx(plain.attack_auc, abs=0.015)


def test_scaled_logits_without_leak_gain_no_less_than_nothing():
    evidence = without_leak(11)
    found = strongest_attack(dataclasses.replace(evidence, logits=evidence.logits * 10), CHEAP, 0)
    assert found.attack_gain >= NO_LEAK - 3 * found.attack_gain_se - 1e-9
    assert abs(found.attack_auc - 0.5) < 0.08


def test_columns_agree_with_one_another():
    found = strongest_attack(two_normals(1.0, 2, n=400), CHEAP, 0)
    assert found.excess_gain == pytest.approx(found.attack_gain + math.log(4))
    assert 0 <= found.tpr_at_01pct_fpr <= found.tpr_at_1pct_fpr <= 1
    assert found.strongest_attack in found.attack_gains
    assert found.attack_gains["constant"] == pytest.approx(NO_LEAK)


@pytest.mark.parametrize("references", [0, 4])
def test_every_attack_is_named_and_those_with_references_iff_it_has_them(references):
    evidence = two_normals(1.0, 3, n=200)
    if references:
        generator = np.random.default_rng(0)
        half = half_of(200, generator)
        inside = np.array([half, ~half, half, ~half])
        outputs = generator.normal(size=(references, 200, 2))
        evidence = dataclasses.replace(evidence, reference=ReferenceEvidence(outputs, inside))
    names = set(strongest_attack(evidence, CHEAP, 0).attack_gains)
    assert names == set(ATTACKS) - (frozenset() if references else WITH_REFERENCES)
    fewer = strongest_attack(evidence, CHEAP, 0, without=NETWORKS)
    assert set(fewer.attack_gains) == names - NETWORKS


def test_the_seed_alone_decides_an_audit():
    evidence = two_normals(1.0, 4, n=300)
    first, again, other = (strongest_attack(evidence, CHEAP, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


probabilities = st.lists(
    st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.6, 0.9]), st.booleans()), min_size=2, max_size=30
).filter(lambda rows: 0 < sum(member for _, member in rows) < len(rows))


def columns(rows):
    p, is_member = zip(*rows, strict=True)
    return np.array(p), np.array(is_member)


@given(probabilities, st.sampled_from([0.0, 0.001, 0.01, 0.2, 0.5, 1.0]))
def test_tpr_is_the_largest_that_the_false_positive_rate_allows(rows, allowed):
    p, is_member = columns(rows)
    rates = [
        (np.mean(p[~is_member] >= threshold), np.mean(p[is_member] >= threshold))
        for threshold in [*np.unique(p), np.inf]
    ]
    expected = max(true_rate for false_rate, true_rate in rates if false_rate <= allowed)
    assert tpr_at(p, is_member, allowed) == pytest.approx(expected)


@given(probabilities)
def test_balanced_accuracy_is_the_mean_of_both_sides_and_a_half_is_a_coin(rows):
    p, is_member = columns(rows)

    def share(values, right):
        return sum(0.5 if value == 0.5 else float(right(value)) for value in values) / len(values)

    members = share(p[is_member], lambda value: value > 0.5)
    others = share(p[~is_member], lambda value: value < 0.5)
    assert balanced_accuracy(p, is_member) == pytest.approx((members + others) / 2)


def test_balanced_accuracy_does_not_reward_guessing_the_larger_side():
    is_member = np.array([True, True, True, False])
    assert balanced_accuracy(np.full(4, 0.9), is_member) == 0.5


def invented_attacks(seed, n=120, folds=4):
    generator = np.random.default_rng(seed)
    is_member = np.arange(n) % 2 == 0
    attacks = {name: generator.uniform(0.2, 0.8, n) for name in "abc"}
    return attacks, is_member, np.arange(n) // 2 % folds


@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize("favoured", ["a", "b", "c"])
def test_the_choice_for_a_fold_never_uses_that_fold(fold, favoured):
    attacks, is_member, folds = invented_attacks(0)
    before = strongest_by_fold(attacks, is_member, folds)
    perfect = np.where(folds == fold, is_member.astype(float), attacks[favoured])
    after = strongest_by_fold({**attacks, favoured: perfect}, is_member, folds)
    assert after[fold] == before[fold]
    assert [after[other] for other in range(4) if other != fold] == [favoured] * 3


def test_the_choice_for_a_fold_is_the_best_of_the_other_folds():
    attacks, is_member, folds = invented_attacks(1)
    for fold, name in enumerate(strongest_by_fold(attacks, is_member, folds)):
        elsewhere = {
            each: attack_gain(p[folds != fold], is_member[folds != fold]).value
            for each, p in attacks.items()
        }
        assert elsewhere[name] == max(elsewhere.values())


def test_equal_attacks_leave_the_choice_to_the_first():
    _, is_member, folds = invented_attacks(2)
    same = {name: np.full(120, 0.5) for name in ("constant", "other")}
    assert strongest_by_fold(same, is_member, folds) == ["constant"] * 4
