"""DP-SGD as a run: quiet, repeatable, resumed bit for bit, and what is spent stays spent."""

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from opacus.accountants import RDPAccountant
from torch import Tensor

from trainables.config import ADMMConfig, AttackConfig, InvalidInput, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.dp import ORDERS, delta_for
from trainables.private_run import PrivateRun
from trainables.records import EpochRecord

EPOCHS = 3
NUMBERS = {"epsilon": 8.0, "clip": 1.0, "learning_rate": 2e-3, "batch_share": 0.25}


@pytest.fixture(scope="module")
def cohort(mnist5k_cohort: Cohort) -> Cohort:
    """200 members of all classes."""
    few = {name: getattr(mnist5k_cohort, name)[::5] for name in ("members", "non_members")}
    return dataclasses.replace(mnist5k_cohort, **few, audited=torch.cat(list(few.values())))


def trial(seed: int = 3, **numbers: float) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model="lenet5",
        n=(),
        defense="dp",
        parameters={**NUMBERS, "epochs": float(EPOCHS), **numbers},
        training=TrainingConfig(epochs=EPOCHS, batch_size=50),
        admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-2, retrain_epochs=1),
        attack=AttackConfig(),
    )


def finish(run: PrivateRun) -> list[EpochRecord]:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


def weights(run: PrivateRun) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_whole_budget_spends_what_was_asked_and_an_accountant_agrees(cohort: Cohort) -> None:
    run = PrivateRun(trial(), cohort)
    spent = [run.spent["epsilon"]]
    while not run.finished:
        run.advance()
        spent.append(run.spent["epsilon"])
    assert spent == sorted(set(spent))
    assert spent[0] == 0.0
    accountant = RDPAccountant()
    for _ in range(EPOCHS * 4):  # a quarter of the members a step
        accountant.step(noise_multiplier=run.spent["noise_multiplier"], sample_rate=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = accountant.get_epsilon(delta=delta_for(200), alphas=ORDERS)
    assert spent[-1] == pytest.approx(expected, rel=1e-12)
    assert 0.9 * NUMBERS["epsilon"] < spent[-1] <= NUMBERS["epsilon"]
    assert run.spent["delta"] == delta_for(200)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_resumed_run_ends_with_the_same_numbers_and_forgets_no_epsilon(
    cohort: Cohort, stop_after: int, tmp_path: Path
) -> None:
    whole = PrivateRun(trial(), cohort)
    expected = finish(whole)
    first = PrivateRun(trial(), cohort)
    records = [first.advance() for _ in range(stop_after)]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = PrivateRun(trial(), cohort)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.spent == first.spent
    assert records + finish(second) == expected
    assert same(weights(second), weights(whole))
    assert second.spent == whole.spent


@pytest.mark.parametrize("images", [1, 7, 30])
def test_batches_in_parts_that_fit_into_memory_end_with_the_same_weights_and_epsilon(
    cohort: Cohort, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PrivateRun(trial(epochs=2.0), cohort)
    expected = finish(whole)
    size = sum(weight.numel() for weight in whole.model.parameters())
    monkeypatch.setattr("trainables.defenses.dp.GRADIENT_BYTES", 4 * size * images + 3)
    parts = PrivateRun(trial(epochs=2.0), cohort)
    seen = held(parts, monkeypatch)
    found = finish(parts)
    assert max(seen) == images
    for one, two in zip(found, expected, strict=True):
        assert one.loss == pytest.approx(two.loss, rel=1e-4)
        assert one.train_accuracy == pytest.approx(two.train_accuracy, abs=0.01)
    ours, theirs = weights(parts), weights(whole)
    for name, value in theirs.items():  # Adam's steps are of 2e-3 each
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4)
    assert parts.spent == whole.spent
    assert parts._private.steps == whole._private.steps == 2 * 4


def held(run: PrivateRun, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images whose gradients were there at once, at every backward pass."""
    seen: list[int] = []
    optimizer = run._private.optimizer
    clip = optimizer.clip_and_accumulate

    def counted() -> None:
        seen.append(len(next(run.model.parameters()).grad_sample))
        clip()

    monkeypatch.setattr(optimizer, "clip_and_accumulate", counted)
    return seen


def test_the_noise_follows_from_the_seed_alone(cohort: Cohort) -> None:
    runs = []
    for seed, global_seed in ((3, 1), (3, 2), (4, 1)):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(global_seed)
            run = PrivateRun(trial(seed), cohort)
            run.advance()
        runs.append(weights(run))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_a_smaller_epsilon_means_more_noise(cohort: Cohort) -> None:
    noises = [
        PrivateRun(trial(epsilon=epsilon), cohort).spent["noise_multiplier"]
        for epsilon in (0.5, 8.0, 500.0)
    ]
    assert noises == sorted(noises, reverse=True)
    assert len(set(noises)) == 3


@pytest.mark.parametrize("epsilon", [0.0, -2.0])
def test_no_epsilon_is_refused_before_anything_is_trained(cohort: Cohort, epsilon: float) -> None:
    with pytest.raises(InvalidInput, match="epsilon must be at least"):
        PrivateRun(trial(epsilon=epsilon), cohort)


def test_fewer_members_than_a_batch_are_drawn_with_certainty(cohort: Cohort) -> None:
    few = dataclasses.replace(cohort, members=cohort.members[:10])
    run = PrivateRun(trial(epochs=1.0), few)
    finish(run)
    assert 0 < run.spent["epsilon"] <= NUMBERS["epsilon"]


def test_it_prints_and_warns_of_nothing(cohort: Cohort, capfd: pytest.CaptureFixture[str]) -> None:
    run = PrivateRun(trial(epochs=1.0), cohort)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finish(run)
    assert capfd.readouterr() == ("", "")
