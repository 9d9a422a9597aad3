"""A digest says to every attack what the logits say, in no more room than attacks need."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.oracles import two_normals
from trainables.attacks import digest as digest_module
from trainables.attacks.auditors import AUDITORS, audit_scores
from trainables.attacks.cross_audit import (
    CrossConfidence,
    CrossEvidence,
    cross_audit,
    image_folds,
)
from trainables.attacks.digest import digest_of, digested, read_digest, save_digest, stacked
from trainables.attacks.evidence import DigestedReferences
from trainables.attacks.features import scaled_confidence, shared_features, tempered
from trainables.attacks.lira import offline, online
from trainables.attacks.registry import ATTACKS, Setting
from trainables.attacks.rmia import Population
from trainables.attacks.tokens import ranked_tokens
from trainables.config import AttackConfig
from trainables.records import WITH_REFERENCES

SETTING = Setting(config=AttackConfig(neural_epochs=1), seed=3, device=torch.device("cpu"))


def outputs(n, k, seed=0):
    generator = np.random.default_rng(seed)
    logits = (4 * generator.normal(size=(n, k))).astype(np.float32)
    return logits, generator.integers(k, size=n)


def shipped(evidence, tmp_path):
    """The evidence whose references went to disk and back, into memory that is read-only."""
    digests = []
    for number, logits in enumerate(evidence.reference.logits):
        path = tmp_path / f"{number}.npz"
        save_digest(digest_of(logits, evidence.labels), path)
        digests.append(read_digest(path))
    whole = stacked(digests)
    for values in vars(whole).values():
        values.setflags(write=False)
    reference = DigestedReferences(whole, evidence.reference.trained_on)
    return dataclasses.replace(evidence, reference=reference)


@pytest.mark.parametrize("name", sorted(WITH_REFERENCES))
def test_every_attack_says_the_same_of_shipped_references_bit_for_bit(planted, tmp_path, name):
    evidence = planted(n=320, k=12, leak=1.5, references=4)
    folds = np.arange(320) % 2
    before = ATTACKS[name](evidence, folds, SETTING)
    np.testing.assert_array_equal(
        ATTACKS[name](shipped(evidence, tmp_path), folds, SETTING), before
    )


@pytest.mark.parametrize("kind", sorted(AUDITORS))
def test_every_audit_says_the_same_of_shipped_references_bit_for_bit(planted, tmp_path, kind):
    evidence = planted(n=200, leak=1.0, references=8)
    strangers = planted(n=100, references=8, seed=1)
    population = Population(strangers.logits, strangers.reference.logits, strangers.labels)
    before = audit_scores(kind, evidence, population)
    after = audit_scores(kind, shipped(evidence, tmp_path), population)
    assert before.keys() == after.keys()
    for name, scores in before.items():
        np.testing.assert_array_equal(after[name], scores)
    if kind == "lira":  # from the logits, without a digest
        target, *phi = (
            scaled_confidence(logits, evidence.labels)
            for logits in (evidence.logits, *evidence.reference.logits)
        )
        for name, attack in (("lira-online", online), ("lira-offline", offline)):
            expected = attack(target, np.stack(phi), evidence.reference.trained_on)
            np.testing.assert_array_equal(after[name], expected)


def test_the_cross_audit_of_confidences_is_that_of_the_logits():
    evidence = two_normals(1.0, n=300, references=4)
    logits, halves = evidence.reference.logits, evidence.reference.trained_on
    whole = CrossEvidence(logits=logits, labels=evidence.labels, trained_on=halves)
    confidence = stacked([digest_of(each, evidence.labels) for each in logits]).typical_confidence
    compact = CrossConfidence(confidence=confidence, labels=evidence.labels, trained_on=halves)
    folds = image_folds(evidence.labels, 3, np.random.default_rng(0))
    before, after = (cross_audit(each, folds) for each in (whole, compact))
    np.testing.assert_array_equal(after.probability, before.probability)
    np.testing.assert_array_equal(after.term, before.term)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("rows", [7, 1000])
def test_rows_are_reduced_part_by_part_as_they_would_be_together(monkeypatch, classes, rows):
    logits, labels = outputs(150, classes)
    monkeypatch.setattr(digest_module, "ROWS", rows)
    found, typical = digest_of(logits, labels), tempered(logits, labels)
    np.testing.assert_array_equal(found.features, shared_features(typical, labels))
    np.testing.assert_array_equal(found.tokens, ranked_tokens(typical, labels))
    np.testing.assert_array_equal(found.typical_confidence, scaled_confidence(typical, labels))


@pytest.mark.parametrize("classes", [10, 1000])
def test_an_image_takes_the_same_room_however_many_classes(classes):
    found = digest_of(*outputs(20, classes))
    assert sum(values.nbytes for values in vars(found).values()) == 20 * 232


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused_in_a_digest_too(planted, broken):
    evidence = planted(n=40, references=4)
    logits = evidence.reference.logits.copy()
    logits[2, 5, 0] = broken
    digests = stacked([digest_of(each, evidence.labels) for each in logits])
    with pytest.raises(ValueError, match="a reference model's logits are not finite"):
        DigestedReferences(digests, evidence.reference.trained_on)
    with pytest.raises(ValueError, match="the logits of model 2 are not finite"):
        CrossConfidence(digests.typical_confidence, evidence.labels, evidence.reference.trained_on)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"trained_on": r.trained_on[:, 1:]}, "do not fit"),
        (lambda r: {"trained_on": r.trained_on.astype(int)}, "bool"),
        (lambda r: {"trained_on": np.ones_like(r.trained_on)}, "inside one"),
    ],
)
def test_digested_references_fit_their_membership(planted, change, message):
    reference = digested(planted(n=40, references=4)).reference
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(reference, **change(reference))


def test_digested_references_are_of_the_targets_images(planted):
    evidence = digested(planted(n=40, references=4))
    with pytest.raises(ValueError, match="target's images"):
        dataclasses.replace(
            evidence,
            logits=evidence.logits[1:],
            labels=evidence.labels[1:],
            is_member=evidence.is_member[1:],
        )


def test_confidences_fit_their_halves(planted):
    reference = digested(planted(n=40, references=4)).reference
    with pytest.raises(ValueError, match="does not fit halves"):
        CrossConfidence(
            reference.digest.typical_confidence[:, 1:],
            np.zeros(40, np.int64),
            reference.trained_on,
        )
