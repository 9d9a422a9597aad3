"""RMIA by its definition, and every audit on leaks of known size."""

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from trainables.attacks.auditors import AUDITORS, audit_scores, calibrated_score
from trainables.attacks.evidence import ReferenceEvidence
from trainables.attacks.folds import stratified_folds
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.rmia import GAMMA, OFFSET, Population, rmia_scores


@pytest.fixture
def audited(planted):
    def build(leak, references=4, seed=0, n=1000):
        evidence = planted(n=n, leak=leak, references=references, seed=seed)
        generator = np.random.default_rng(seed + 1)
        k = evidence.logits.shape[1]
        labels = generator.integers(k, size=300)
        images = generator.normal(size=(300, k)) * 2 + np.eye(k)[labels]
        outputs = images + generator.normal(size=(references + 1, 300, k)) * 0.5
        return evidence, Population(outputs[0], outputs[1:], labels)

    return build


def test_rmia_is_the_share_of_the_population_with_a_smaller_ratio(audited):
    """The slow truth: image by image, reference by reference, probabilities instead of logs."""
    evidence, population = audited(leak=1.0, n=40)
    rows = np.arange(40)
    own = softmax(evidence.logits, axis=1)[rows, evidence.labels]
    others = softmax(evidence.reference.logits, axis=2)[:, rows, evidence.labels]
    z = softmax(population.target, axis=1)[np.arange(300), population.labels]
    z_others = softmax(population.reference, axis=2)[:, np.arange(300), population.labels]

    def ratio(p, outside):
        return p / (((1 + OFFSET) * np.mean(outside) + (1 - OFFSET)) / 2)

    z_ratios = np.array([ratio(z[j], z_others[:, j]) for j in range(300)])
    expected = [
        np.mean(ratio(own[i], others[~evidence.reference.trained_on[:, i], i]) > GAMMA * z_ratios)
        for i in range(40)
    ]
    np.testing.assert_allclose(rmia_scores(evidence, population), expected)


@pytest.mark.parametrize("kind", sorted(AUDITORS))
def test_every_audit_scores_members_higher_the_more_leaks(kind, audited):
    aucs = []
    for leak in (0.0, 1.0, 3.0):
        evidence, population = audited(leak)
        scores = audit_scores(kind, evidence, population)
        assert all(np.isfinite(score).all() for score in scores.values())
        aucs.append({name: roc_auc_score(evidence.is_member, s) for name, s in scores.items()})
    for name in aucs[0]:
        assert abs(aucs[0][name] - 0.5) < 0.06, name
        assert aucs[1][name] > 0.53, name
        assert aucs[2][name] > aucs[1][name], name


def test_references_see_more_than_one_threshold_for_all(audited):
    evidence, population = audited(leak=1.0, references=8)
    scores = audit_scores("lira", evidence, population)
    aucs = {name: roc_auc_score(evidence.is_member, s) for name, s in scores.items()}
    assert aucs["lira-online"] > aucs["loss"] + 0.05
    assert aucs["rmia-4"] > aucs["loss"]


@pytest.mark.parametrize("count", [2, 4])
def test_beside_lira_rmia_is_given_the_first_few_references(count, audited):
    evidence, population = audited(leak=1.0, references=8)
    scores = audit_scores("lira", evidence, population)
    few = dataclasses.replace(
        evidence,
        reference=ReferenceEvidence(
            evidence.reference.logits[:count], evidence.reference.trained_on[:count]
        ),
    )
    fewer = dataclasses.replace(population, reference=population.reference[:count])
    np.testing.assert_array_equal(scores[f"rmia-{count}"], rmia_scores(few, fewer))


def test_two_references_are_enough_for_every_audit(audited):
    evidence, population = audited(leak=2.0, references=2)
    for kind in AUDITORS:
        assert len(audit_scores(kind, evidence, population)) >= 2


@pytest.mark.parametrize("kind", sorted(AUDITORS))
def test_an_audit_without_references_refuses(kind, audited):
    evidence, population = audited(leak=1.0)
    with pytest.raises(ValueError, match="needs reference"):
        audit_scores(kind, dataclasses.replace(evidence, reference=None), population)


def test_calibrated_scores_gain_nothing_without_a_leak_and_all_of_a_full_one():
    generator = np.random.default_rng(0)
    n = 2000
    is_member = generator.permutation(n) < n // 2

    class Seen:
        labels = np.zeros(n, dtype=np.int64)
        copies = None

    Seen.is_member = is_member
    folds = stratified_folds(Seen, 5, generator)
    noise = calibrated_score(generator.normal(size=n) * 100, Seen, folds)
    gain = attack_gain(noise, is_member)
    assert abs(gain.value - NO_LEAK) < 3 * gain.standard_error + 0.005
    known = calibrated_score(np.where(is_member, 5.0, -5.0), Seen, folds)
    assert attack_gain(known, is_member).value > -0.15


def test_calibration_keeps_a_leak_that_shows_in_sure_non_members_only():
    """A fifth of the non-members, and nobody else, scores low: 2 JS by hand."""
    generator = np.random.default_rng(0)
    n = 4000
    is_member = np.arange(n) < n // 2
    scores = generator.normal(size=n)
    scores[n // 2 : n // 2 + n // 10] -= 40

    class Seen:
        labels = np.zeros(n, dtype=np.int64)
        copies = None

    Seen.is_member = is_member
    p = calibrated_score(scores, Seen, stratified_folds(Seen, 5, generator))
    gain = attack_gain(p, is_member)
    twice_js = np.log(2 / 1.8) + 0.2 * np.log(2) + 0.8 * np.log(2 * 0.8 / 1.8)
    assert gain.value - NO_LEAK == pytest.approx(twice_js, abs=3 * gain.standard_error + 0.005)


def test_full_memorisation_is_found_whole_and_without_false_alarms(audited):
    evidence, population = audited(leak=40.0, references=8)
    members = evidence.is_member
    for name, score in audit_scores("lira", evidence, population).items():
        if name.startswith("rmia"):  # asks whether the output is unusual, and a sure one is not
            assert roc_auc_score(members, score) > 0.97
        else:
            assert (score[members] > score[~members].max()).all(), name


def test_a_population_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Population(np.zeros((3, 4)), np.zeros((2, 5, 4)), np.zeros(3, dtype=int))
