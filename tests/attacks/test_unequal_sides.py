"""Four members to a non-member: the same leak is found, no leak stays none, intervals hold it."""

import dataclasses

import numpy as np
import pytest

from tests.attacks.test_closed_form import (
    FALLS_SHORT,
    THREE_LEVELS,
    best_possible,
    every_attack,
    found,
)
from tests.oracles import twice_js, two_normals
from trainables.attacks.balance import effective_images, side_weights
from trainables.attacks.divergence import output_divergence
from trainables.attacks.strongest import attacked, balanced_accuracy, leakage
from trainables.config import AttackConfig
from trainables.records import NEURAL, SAMIA, WITH_REFERENCES

FOUR_TO_ONE = 4 / 5

QUICK = (NEURAL, "boosted", *WITH_REFERENCES)
"""Attacks that a simulation of hundreds of audits goes without: they take seconds."""


@pytest.mark.parametrize(("members", "others"), [(1000, 1000), (800, 200), (3, 5000)])
def test_weights_make_both_sides_weigh_alike(members: int, others: int) -> None:
    is_member = np.arange(members + others) < members
    weights = side_weights(is_member)
    if members == others:
        assert weights is None
        return
    assert weights[is_member].sum() == pytest.approx(weights[~is_member].sum())
    assert weights.sum() == pytest.approx(effective_images(members, others))
    assert effective_images(members, others) <= 4 * min(members, others)


@every_attack
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_every_attack_finds_what_it_would_find_of_halves(name: str, shift: float) -> None:
    images = 2500 if name in (NEURAL, SAMIA) else 7500
    evidence = two_normals(shift, n=images, members=FOUR_TO_ONE)
    excess, error, _ = found(name, evidence)
    best = best_possible(name, shift)
    levels = THREE_LEVELS if name.startswith("threshold-") and shift else 0.0
    assert excess <= best + 3 * error + levels + 1e-12
    assert excess >= best - 3 * error - (FALLS_SHORT.get(name, 0.01) if shift else 0.005)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_divergence_is_that_of_halves(shift: float) -> None:
    seeds = range(20)
    found = [
        output_divergence(two_normals(shift, n=5000, seed=seed, members=FOUR_TO_ONE)).value
        for seed in seeds
    ]
    errors = 3 * np.std(found, ddof=1) / np.sqrt(len(found))
    assert 2 * np.mean(found) == pytest.approx(twice_js(shift), abs=2 * errors + 0.002)


def test_a_guess_scores_one_half_however_many_members_there_are() -> None:
    is_member = np.arange(1000) < 800
    assert balanced_accuracy(np.full(1000, 0.9), is_member) == 0.5
    assert balanced_accuracy(np.full(1000, 0.5), is_member) == 0.5


@pytest.mark.slow
def test_intervals_of_audits_hold_the_leak_as_often_as_they_say() -> None:
    """300 audits of 800 members and 200 non-members with a planted leak of 0.223 nats.

    With 300 the share itself has a standard error of 1.3 points.
    """
    planted, rows = twice_js(1.0), []
    for seed in range(300):
        images = two_normals(1.0, n=1000, seed=seed, members=FOUR_TO_ONE, references=2)
        evidence = dataclasses.replace(images, reference=None)
        audit = attacked(evidence, AttackConfig(), seed, without=QUICK)
        leak = leakage(audit, evidence)
        rows.append((leak.excess_gain, leak.attack_gain_se))
    gains, errors = np.array(rows).T
    assert errors.mean() == pytest.approx(gains.std(ddof=1), rel=0.1)
    for truth in (planted, gains.mean()):
        assert 0.93 <= np.mean(np.abs(gains - truth) < 1.96 * errors) <= 0.97
