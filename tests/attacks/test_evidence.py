"""What may not be audited is refused where it enters."""

import dataclasses

import numpy as np
import pytest

from trainables.attacks.evidence import ReferenceEvidence


def with_value(values, value):
    changed = values.copy()
    changed.flat[0] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"labels": e.labels[1:]}, "do not fit"),
        (lambda e: {"is_member": e.is_member[:, None]}, "do not fit"),
        (lambda e: {"logits": e.logits[:, :1]}, "two classes"),
        (lambda e: {"logits": with_value(e.logits, np.nan)}, "not finite"),
        (lambda e: {"logits": with_value(e.logits, -np.inf)}, "not finite"),
        (lambda e: {"logits": np.full_like(e.logits, 1 / e.logits.shape[1])}, "take logits"),
        (lambda e: {"is_member": np.ones_like(e.is_member)}, "some must be"),
        (lambda e: {"is_member": e.is_member.astype(int)}, "bool"),
        (lambda e: {"labels": with_value(e.labels, -1)}, "labels"),
        (lambda e: {"labels": with_value(e.labels, e.logits.shape[1])}, "labels"),
        (lambda e: {"logits": e.logits[:, :3], "labels": e.labels % 3}, "target's images"),
    ],
)
def test_evidence_that_cannot_be_audited_is_refused(planted, change, message):
    evidence = planted(n=40, references=4)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(evidence, **change(evidence))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"trained_on": r.trained_on[:, 1:]}, "do not fit"),
        (lambda r: {"trained_on": r.trained_on.astype(int)}, "bool"),
        (lambda r: {"logits": with_value(r.logits, np.inf)}, "not finite"),
        (lambda r: {"trained_on": np.ones_like(r.trained_on)}, "inside one"),
        (lambda r: {"trained_on": np.zeros_like(r.trained_on)}, "inside one"),
    ],
)
def test_references_need_every_image_inside_one_and_outside_another(planted, change, message):
    reference = planted(n=40, references=4).reference
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(reference, **change(reference))


def test_two_complementary_references_are_enough():
    inside = np.array([[True, False], [False, True]])
    assert ReferenceEvidence(np.zeros((2, 2, 3)), inside).trained_on is inside
