"""MemGuard on planted confidences: the label and the budget hold, and g is left undecided."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.defenses.memguard import Attacker, fit_attacker, fooling_noise, released

CLASSES = 5


def logits(count: int, size: float, seed: int) -> Tensor:
    """(count, k) with margins of about `size`."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, CLASSES, generator=generator)
    label = torch.randint(CLASSES, (count,), generator=generator)
    noise[torch.arange(count), label] += size
    return noise


@pytest.fixture(scope="module")
def attacker() -> Attacker:
    """G where members are answered with more confidence than others."""
    members, others = logits(300, 8.0, 1), logits(300, 2.0, 2)
    return fit_attacker(members.softmax(1), others.softmax(1), seed=0)


def probability(attacker: Attacker, rows: Tensor) -> Tensor:
    return attacker(rows.softmax(1)).sigmoid()


def test_the_attacker_finds_the_planted_leak_and_counts_both_classes_half() -> None:
    members, others = logits(100, 8.0, 1), logits(900, 2.0, 2)
    attacker = fit_attacker(members.softmax(1), others.softmax(1), seed=0)
    assert (probability(attacker, logits(200, 8.0, 3)) > 0.5).double().mean() > 0.9
    assert (probability(attacker, logits(200, 2.0, 4)) < 0.5).double().mean() > 0.8


def test_the_attacker_follows_from_the_seed() -> None:
    rows = logits(64, 4.0, 1).softmax(1)
    one, same, other = (
        torch.cat([p.flatten() for p in fit_attacker(rows, rows.flip(0), seed).parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@settings(max_examples=12)
@given(
    size=st.floats(0, 20),
    offset=st.floats(-50, 50),
    budget=st.floats(0, 3),
    seed=st.integers(0, 1000),
)
def test_the_label_never_changes(
    attacker: Attacker, size: float, offset: float, budget: float, seed: int
) -> None:
    rows = logits(16, size, seed) + offset
    answer = released(attacker, rows, budget, torch.zeros(16))
    assert torch.equal(answer.argmax(1), rows.argmax(1))
    assert answer.isfinite().all()


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.3, 3.0])
def test_the_expected_distortion_of_every_image_is_within_the_budget(
    attacker: Attacker, budget: float
) -> None:
    rows, coins = logits(10, 6.0, 5), 200
    repeated = rows.repeat_interleave(coins, dim=0)
    coin = ((torch.arange(coins) + 0.5) / coins).repeat(len(rows))
    answer = released(attacker, repeated, budget, coin).exp()
    distance = (answer - repeated.softmax(1)).abs().sum(1).view(len(rows), coins)
    assert (distance.mean(1) <= budget + 2 / coins).all()  # a distance is at most 2
    if budget == 0.05:
        assert distance.mean() > 0.04  # and it is used


def test_noise_leaves_the_attacker_undecided(attacker: Attacker) -> None:
    rows = torch.cat([logits(100, 8.0, 3), logits(100, 2.0, 4)])
    before = (probability(attacker, rows) - 0.5).abs()
    after = (probability(attacker, rows + fooling_noise(attacker, rows)) - 0.5).abs()
    assert after.median() < 0.1 < 0.3 < before.median()


def test_every_confident_image_is_settled_within_the_steps(attacker: Attacker) -> None:
    rows = logits(100, 18.0, 6)  # the margins of an overfit network
    assert (fooling_noise(attacker, rows).abs().sum(1) > 0).all()


def test_no_image_depends_on_what_else_is_asked(attacker: Attacker) -> None:
    rows, coin = logits(15, 6.0, 7), torch.rand(15, generator=torch.Generator().manual_seed(0))
    whole = released(attacker, rows, 0.2, coin)
    alone = torch.cat(
        [released(attacker, rows[i : i + 1], 0.2, coin[i : i + 1]) for i in range(15)]
    )
    torch.testing.assert_close(whole.exp(), alone.exp(), rtol=0, atol=1e-4)


def test_an_answer_holds_confidences_and_nothing_beside(attacker: Attacker) -> None:
    rows, coin = logits(30, 6.0, 8), torch.full((30,), 0.5)
    answer = released(attacker, rows, 0.5, coin)
    torch.testing.assert_close(answer.exp().sum(1), torch.ones(30))
    torch.testing.assert_close(released(attacker, rows + 7.0, 0.5, coin).exp(), answer.exp())


def test_an_image_that_noise_would_expose_more_is_released_as_it_is() -> None:
    attacker = Attacker(CLASSES)
    for parameter in attacker.parameters():
        parameter.detach().zero_()  # g says 0.5 of everything: nothing to gain
    rows = logits(10, 6.0, 9)
    answer = released(attacker.requires_grad_(False), rows, 2.0, torch.zeros(10))
    assert torch.equal(answer, rows.log_softmax(1))
