"""`audit`: what any classifier's outputs give away, and what cannot be audited."""

import numpy as np
import pandas as pd
import pytest

from trainables.attacks.gain import NO_LEAK
from trainables.audit import FEWEST, audit
from trainables.base.errors import InvalidInput
from trainables.config import AttackConfig
from trainables.data.cohort import reference_halves

QUICK = AttackConfig(folds=2, neural_epochs=1)


def images(members: int, others: int, margin: float, seed: int = 0):
    """Logits of four classes whose own class stands out by `margin` more on members."""
    generator = np.random.default_rng(seed)
    count = members + others
    labels, is_member = np.arange(count) % 4, np.arange(count) < members
    logits = (
        generator.normal(size=(count, 4)) + np.eye(4)[labels] * (1 + margin * is_member)[:, None]
    )
    return logits, labels, is_member


def test_a_planted_leak_is_found_and_none_where_there_is_none() -> None:
    leaky = audit(*images(400, 400, 3.0), config=QUICK)
    assert leaky.leaks
    assert leaky.on_members.accuracy > leaky.on_non_members.accuracy
    assert leaky.on_members.loss < leaky.on_non_members.loss
    assert leaky.attack_errors[leaky.leakage.strongest_attack] > 0
    assert leaky.probability[:400].mean() > 0.6 > 0.4 > leaky.probability[400:].mean()
    assert leaky.excess_gains["constant"] == pytest.approx(0)
    assert leaky.leakage.excess_gain == pytest.approx(leaky.leakage.attack_gain - NO_LEAK)
    assert not audit(*images(400, 400, 0.0), config=QUICK).leaks


def test_probabilities_are_as_good_as_logits() -> None:
    logits, labels, is_member = images(200, 200, 2.0)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ours, theirs = (audit(table, labels, is_member, config=QUICK) for table in (logits, shares))
    for name in ("threshold-confidence", "threshold-entropy", "logistic"):
        assert theirs.excess_gains[name] == pytest.approx(ours.excess_gains[name], abs=1e-6)


def test_of_unequal_sides_all_are_used_and_count_alike() -> None:
    many, few = images(4000, 1000, 1.0), images(1000, 1000, 1.0)
    found, even = (audit(*table, config=QUICK) for table in (many, few))
    assert (found.members, found.non_members) == (4000, 1000)
    apart = found.leakage.excess_gain - even.leakage.excess_gain
    errors = found.leakage.attack_gain_se, even.leakage.attack_gain_se
    assert abs(apart) < 3 * np.hypot(*errors)
    assert errors[0] < errors[1]
    assert found.least_visible < even.least_visible
    assert not audit(*images(1000, 100, 0.0), config=QUICK).leaks


def test_the_seed_decides_every_figure() -> None:
    first, again, other = (audit(*images(100, 60, 1.0), seed=s, config=QUICK) for s in (0, 0, 1))
    assert first == again != other


def test_copies_are_not_guessed_from_one_another() -> None:
    """Of twins in one fold the same attack says the same; apart, one was learned from the other."""
    logits, labels, is_member = images(200, 200, 0.0)
    twice = [np.repeat(part, 2, axis=0) for part in (logits, labels, is_member)]
    together = audit(*twice, copies=np.repeat(np.arange(400), 2), config=QUICK).probability
    apart = audit(*twice, config=QUICK).probability
    assert (together[::2] == together[1::2]).all()
    assert not (apart[::2] == apart[1::2]).all()


def test_references_see_more_than_the_outputs_alone() -> None:
    """Each image is as easy as it is; only references tell that from having been trained on."""
    generator = np.random.default_rng(1)
    labels, halves = np.arange(400) % 4, reference_halves(400, 10, 0)
    ease = generator.normal(scale=3, size=400)

    def outputs(inside: np.ndarray) -> np.ndarray:
        noise = generator.normal(size=(400, 4))
        return noise + np.eye(4)[labels] * (ease + 2.0 * inside)[:, None]

    target, trained_on = outputs(halves[0]), halves[2:]
    lessons = (np.stack([outputs(inside) for inside in trained_on]), trained_on)
    alone = audit(target, labels, halves[0], config=QUICK)
    informed = audit(target, labels, halves[0], lessons, config=QUICK)
    assert informed.references == 8
    assert informed.leakage.excess_gain > alone.leakage.excess_gain + 0.1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"outputs": np.zeros((400, 1))}, "a column per class"),
        ({"outputs": np.full((400, 4), np.nan)}, "1600 values that are not finite"),
        ({"outputs": np.full((400, 4), 0.5)}, "do not sum to one, as 2.000"),
        ({"outputs": [["a"] * 4] * 400}, "no table of numbers"),
        ({"labels": np.arange(400)}, "labels run from 0 to 399, but the outputs have 4"),
        ({"labels": np.zeros(400) + 0.5}, "as 0.5: a regression is not audited"),
        ({"labels": np.ones((400, 4))}, "as of images with several labels"),
        ({"labels": np.zeros(399)}, "one whole number for each of 400 images"),
        ({"is_member": np.zeros(400)}, "0 members and 400 non-members are too few"),
        ({"is_member": np.arange(400)}, "true or false"),
        ({"is_member": pd.array([True, None] * 200)}, "true or false"),
        ({"references": (np.zeros((2, 0, 4)), np.zeros((2, 0)))}, "a row per image"),
        ({"references": (-np.ones((2, 399, 4)), np.zeros((2, 399)))}, "one table (400, 4)"),
        ({"references": (-np.ones((2, 400, 4)), np.zeros((2, 400)))}, "inside one reference"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(changed, says) -> None:
    outputs, labels, is_member = images(200, 200, 1.0)
    given = {"outputs": outputs, "labels": labels, "is_member": is_member, **changed}
    with pytest.raises(InvalidInput) as refused:
        audit(**given, config=QUICK)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_fewer_than_the_fewest_are_refused() -> None:
    with pytest.raises(InvalidInput, match=f"at least {FEWEST} of each"):
        audit(*images(FEWEST - 1, 300, 1.0), config=QUICK)
    with pytest.raises(InvalidInput, match=r"a leak of 0\.091 nats would have an interval of 0 to"):
        audit(*images(49, 300, 1.0), config=QUICK)
    with pytest.raises(InvalidInput, match=r"no interval narrower than 1\.386 nats"):
        audit(*images(4, 300, 1.0), config=QUICK)
