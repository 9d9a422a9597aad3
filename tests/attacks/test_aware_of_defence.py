"""Attacks that learn on references: what they learn from, and how few are enough.

What they find of leaks of known size is in `test_closed_form.py`, beside the others.
"""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import logit

from tests.oracles import twice_js, two_normals
from trainables.attacks import samia, shadow
from trainables.attacks.digest import digest_of, digested_references, stacked
from trainables.attacks.evidence import DigestedReferences
from trainables.attacks.folds import stratified_folds
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.registry import ATTACKS, Setting
from trainables.attacks.tokens import FIELDS, MOST_TOKENS, ranked_tokens
from trainables.config import AttackConfig
from trainables.records import ADAPTIVE, SAMIA

SETTING = Setting(config=AttackConfig(folds=3), seed=0, device=torch.device("cpu"))

both = pytest.mark.parametrize("name", [ADAPTIVE, SAMIA])


def found(name, evidence):
    folds = stratified_folds(evidence, 3, np.random.default_rng(0))
    p = ATTACKS[name](evidence, folds, SETTING)
    gain = attack_gain(p, evidence.is_member)
    return gain.value - NO_LEAK, gain.standard_error


@both
def test_the_target_s_members_only_calibrate(name):
    """Told the members of other images, the attack ranks its images as before."""
    evidence = two_normals(1.0, n=400)
    folds = stratified_folds(evidence, 2, np.random.default_rng(0))
    redealt = evidence.is_member.copy()
    redealt[folds == 0] = np.random.default_rng(1).permutation(redealt[folds == 0])
    other = dataclasses.replace(evidence, is_member=redealt)
    before, after = (ATTACKS[name](e, folds, SETTING)[folds == 1] for e in (evidence, other))
    first, second = (np.abs(logit(p) - logit(p[0])) for p in (before, after))  # affine maps of one
    np.testing.assert_array_equal(np.argsort(first), np.argsort(second))


@pytest.mark.parametrize("references", [2, 4])
@both
def test_few_references_are_enough(name, references):
    excess, error = found(name, two_normals(2.0, references=references))
    assert excess > twice_js(2.0) - 3 * error - 0.06


@both
def test_without_references_it_refuses(name, planted):
    evidence = planted()
    with pytest.raises(ValueError, match="needs reference"):
        ATTACKS[name](evidence, np.arange(400) % 2, SETTING)


def test_a_stand_in_target_is_never_compared_with_itself():
    evidence = two_normals(1.0, n=60, references=4)
    labels, reference = evidence.labels, evidence.reference
    features, trained_on = shadow.lessons(digested_references(evidence))
    assert len(features) == 240
    np.testing.assert_array_equal(trained_on, reference.trained_on.ravel())
    moved = reference.logits.copy()
    moved[0] += 5 * np.eye(2)[labels]  # phi of reference 0 alone
    other = dataclasses.replace(evidence, reference=dataclasses.replace(reference, logits=moved))
    changed, _ = shadow.lessons(digested_references(other))
    inside_minus_outside = slice(3, 5)
    np.testing.assert_array_equal(
        changed[:60, inside_minus_outside], features[:60, inside_minus_outside]
    )
    assert (changed[60:, inside_minus_outside] != features[60:, inside_minus_outside]).any(1).all()


def test_the_same_references_teach_once(monkeypatch):
    evidence = two_normals(1.0, n=200, references=6)
    same = dataclasses.replace(evidence, reference=digested_references(evidence))
    targets = [dataclasses.replace(same, logits=same.logits * scale) for scale in (1.0, 0.5)]
    afresh = [
        shadow.adaptive_scores(dataclasses.replace(target, reference=evidence.reference))
        for target in targets
    ]
    asked = []
    lessons = shadow.lessons
    monkeypatch.setattr(shadow, "lessons", lambda one: asked.append(one) or lessons(one))
    for target, expected in zip(targets, afresh, strict=True):
        np.testing.assert_array_equal(shadow.adaptive_scores(target), expected)
    assert asked == [same.reference]


def test_an_image_with_one_reference_on_a_side_is_left_out_where_that_one_stands_in():
    trained_on = np.array([[True, True], [False, True], [False, False], [False, False]])
    logits = np.random.default_rng(0).normal(size=(4, 2, 3))
    digests = [digest_of(each, np.array([0, 1])) for each in logits]
    _, members = shadow.lessons(DigestedReferences(stacked(digests), trained_on))
    np.testing.assert_array_equal(members, [True, False, True, False, False, False, False])


def test_tokens_are_ranked_and_hold_the_label_even_when_it_is_improbable():
    logits = np.tile(np.arange(30.0), (2, 1))
    tokens = ranked_tokens(logits, np.array([29, 0]))
    assert tokens.shape == (2, MOST_TOKENS, FIELDS)
    assert (np.diff(tokens[:, :, 0], axis=1) <= 0).all()
    np.testing.assert_array_equal(tokens[0, :, 2], np.eye(10)[0])
    np.testing.assert_array_equal(tokens[1, :, 2], np.eye(10)[9])
    assert tokens[1, 9, 0] == pytest.approx(0, abs=1e-6)


def test_every_parameter_of_samia_takes_part():
    model = samia.Samia(4)
    model(torch.rand(64, 4, FIELDS)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
