"""What every attack of the family promises."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from trainables.attacks.folds import stratified_folds
from trainables.attacks.registry import ATTACKS, CONSTANT, Setting
from trainables.config import AttackConfig
from trainables.records import ADAPTIVE, REFERENCE, WITH_REFERENCES

SETTING = Setting(config=AttackConfig(folds=2, neural_epochs=2), seed=3, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def evidence(planted):
    return planted(n=320, leak=1.5, references=4)


@pytest.fixture(scope="module")
def folds(evidence):
    return stratified_folds(evidence, 2, np.random.default_rng(0))


every_attack = pytest.mark.parametrize("name", ATTACKS)


@every_attack
def test_gives_one_probability_an_image_and_repeats_itself_under_a_seed(evidence, folds, name):
    before = copy.deepcopy(evidence)
    torch_state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is what must not change
    first, again = (ATTACKS[name](evidence, folds, SETTING) for _ in range(2))
    assert first.shape == (320,)
    assert first.dtype == np.float64
    assert ((first >= 0) & (first <= 1)).all()
    np.testing.assert_array_equal(first, again)
    for value, old in (
        (evidence.logits, before.logits),
        (evidence.labels, before.labels),
        (evidence.is_member, before.is_member),
        (evidence.reference.logits, before.reference.logits),
        (evidence.reference.trained_on, before.reference.trained_on),
    ):
        np.testing.assert_array_equal(value, old)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002 - it is what must not change


@every_attack
def test_never_sees_the_membership_of_the_images_it_scores(evidence, folds, name):
    scored = folds == 1
    flipped = dataclasses.replace(evidence, is_member=evidence.is_member ^ scored)
    before, after = (ATTACKS[name](e, folds, SETTING) for e in (evidence, flipped))
    np.testing.assert_array_equal(before[scored], after[scored])
    if name != CONSTANT:
        assert (before[~scored] != after[~scored]).any()


@pytest.mark.parametrize("name", [CONSTANT, "logistic", REFERENCE])  # no inner folds or batches
def test_does_not_depend_on_the_order_of_the_images(evidence, folds, name):
    order = np.random.default_rng(5).permutation(320)
    shuffled = dataclasses.replace(
        evidence,
        logits=evidence.logits[order],
        labels=evidence.labels[order],
        is_member=evidence.is_member[order],
        reference=dataclasses.replace(
            evidence.reference,
            logits=evidence.reference.logits[:, order],
            trained_on=evidence.reference.trained_on[:, order],
        ),
    )
    before = ATTACKS[name](evidence, folds, SETTING)
    after = ATTACKS[name](shuffled, folds[order], SETTING)
    np.testing.assert_allclose(after, before[order], atol=2e-3)


@pytest.mark.parametrize("factor", [0.125, 8.0])
@pytest.mark.parametrize("name", ["logistic", "boosted", REFERENCE, ADAPTIVE])
def test_the_strong_attacks_do_not_care_for_the_temperature(evidence, folds, name, factor):
    scaled = dataclasses.replace(evidence, logits=evidence.logits * factor)
    before, after = (ATTACKS[name](e, folds, SETTING) for e in (evidence, scaled))
    np.testing.assert_allclose(after, before, atol=1e-6)


@every_attack
def test_members_score_higher_where_there_is_a_leak(evidence, folds, name):
    p = ATTACKS[name](evidence, folds, SETTING)
    advantage = p[evidence.is_member].mean() - p[~evidence.is_member].mean()
    assert advantage > 0.003 or name == CONSTANT  # the neural attack trains two epochs


@every_attack
def test_outputs_in_single_precision_and_of_extreme_size_are_no_trouble(evidence, folds, name):
    extreme = dataclasses.replace(
        evidence,
        logits=(evidence.logits * 100).astype(np.float32),
        reference=dataclasses.replace(
            evidence.reference, logits=(evidence.reference.logits * 100).astype(np.float32)
        ),
    )
    p = ATTACKS[name](extreme, folds, SETTING)
    assert ((p >= 0) & (p <= 1)).all()


def test_the_constant_is_one_half_and_attacks_with_references_are_registered(evidence, folds):
    np.testing.assert_array_equal(ATTACKS[CONSTANT](evidence, folds, SETTING), 0.5)
    assert {"neural", "logistic", "boosted"} | WITH_REFERENCES < set(ATTACKS)
