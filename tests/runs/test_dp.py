"""DP-SGD as a run: quiet, repeatable, resumed bit for bit, and what is spent stays spent."""

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from opacus.accountants import RDPAccountant
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.errors import InvalidInput
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.dp import ORDERS, delta_for
from trainables.models.registry import MODELS, ModelSpec
from trainables.records import EpochRecord
from trainables.runs.dp import PrivateRun, require_bounded_sensitivity

EPOCHS = 3
NUMBERS = {"epsilon": 8.0, "clip": 1.0, "learning_rate": 2e-3, "batch_share": 0.25}


@pytest.fixture(scope="module")
def cohort(mnist5k_cohort: Cohort) -> Cohort:
    """200 members of all classes."""
    few = {name: getattr(mnist5k_cohort, name)[::5] for name in ("members", "non_members")}
    return dataclasses.replace(mnist5k_cohort, **few, audited=torch.cat(list(few.values())))


def trial(seed: int = 3, model: str = "lenet5", **numbers: float) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model=model,
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_it_prints_and_warns_of_nothing(cohort: Cohort, capfd: pytest.CaptureFixture[str]) -> None:
    run = PrivateRun(trial(epochs=1.0), cohort)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finish(run)
    assert capfd.readouterr() == ("", "")


class Patches(nn.Module):
    """Every layer sees the patches as its batch; logits are the mean over an image's patches."""

    def __init__(self, n_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.a = nn.Linear(49, 32)
        self.f = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        patches = images.unfold(2, 7, 7).unfold(3, 7, 7).reshape(-1, 49)
        logits: Tensor = self.f(torch.relu(self.a(patches))).reshape(len(images), 16, -1).mean(1)
        return logits


class Statistics(nn.Module):
    """A buffer follows the mean of the batches."""

    def __init__(self, n_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.f = nn.Linear(784, n_classes)
        self.register_buffer("mean", torch.zeros(784))

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * features.mean(0))
        logits: Tensor = self.f(features - self.mean)
        return logits


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in {"patches": Patches, "statistics": Statistics}.items():
        monkeypatch.setitem(MODELS, name, ModelSpec(build=kind, sides=None))


def some(cohort: Cohort) -> tuple[Tensor, Tensor]:
    return cohort.images.batch(cohort.members[:4]), cohort.images.labels[cohort.members[:4]]


def test_a_network_that_folds_patches_into_the_batch_takes_no_step(
    cohort: Cohort, models: None
) -> None:
    run = PrivateRun(trial(model="patches"), cohort)
    before = weights(run)
    with pytest.raises(InvalidInput, match="counts one image as 16") as caught:
        run.advance()
    assert "\n" not in str(caught.value)
    assert same(weights(run), before)
    assert run.spent["epsilon"] == 0.0


@pytest.mark.parametrize(
    ("model", "message"),
    [("patches", "counts one image as 16"), ("statistics", "'mean' is changed by the images")],
)
def test_what_cannot_be_bounded_is_refused_before_anything_is_trained(
    cohort: Cohort, models: None, model: str, message: str
) -> None:
    run = PrivateRun(trial(model=model), cohort)
    with pytest.raises(InvalidInput, match=message) as caught:
        require_bounded_sensitivity(run, *some(cohort))
    assert "\n" not in str(caught.value)


def test_the_rehearsal_leaves_the_run_and_all_generators_as_they_were(cohort: Cohort) -> None:
    expected = finish(PrivateRun(trial(), cohort))
    run = PrivateRun(trial(), cohort)
    records = [run.advance()]
    before, generator = weights(run), torch.random.get_rng_state()
    kept = [weight.grad_sample for weight in run.model.parameters()]
    require_bounded_sensitivity(run, *some(cohort))
    assert same(weights(run), before)
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(a is w.grad_sample for a, w in zip(kept, run.model.parameters(), strict=True))
    assert records + finish(run) == expected


def test_one_image_adds_at_most_the_clipping_norm_to_the_sum(cohort: Cohort) -> None:
    run = PrivateRun(trial(clip=0.3), cohort)
    run.advance()
    optimizer, module = run._private.optimizer, run._private.module.train()
    images, labels = some(cohort)
    for image, label in zip(images, labels, strict=True):
        optimizer.zero_grad()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            functional.cross_entropy(50 * module(image[None]), 9 - label[None]).backward()
        optimizer.clip_and_accumulate()
        added = torch.cat([weight.summed_grad.flatten() for weight in optimizer.params])
        assert 0.29 < float(added.norm()) <= 0.3


def test_a_run_with_empty_draws_takes_and_accounts_every_planned_step(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.runs.dp.FEWEST", 1)
    few = dataclasses.replace(cohort, members=cohort.members[:50])
    run = PrivateRun(trial(batch_share=0.02, epochs=2.0), few)  # of one image: e^-1 are empty
    seen = held(run, monkeypatch)
    finish(run)
    assert len(seen) < 100
    assert run._private.steps == 100
    assert 0.5 * NUMBERS["epsilon"] < run.spent["epsilon"] <= NUMBERS["epsilon"]
