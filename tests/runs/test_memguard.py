"""MemGuard around a trained network: fixed answers, the network's labels, no peeking."""

import dataclasses

import pytest
import torch
from torch import Tensor

from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.device import DeviceImages
from trainables.data.registry import DATASETS
from trainables.runs.dense import DenseRun, LoadedDense
from trainables.runs.memguard import MemGuardRun

pytestmark = pytest.mark.slow  # a real training

EVALUATED = ("non_members", "validation", "test")


def trial(distortion: float = 2.0, seed: int = 3) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model="lenet5",
        n=(),
        defense="memguard",
        parameters={"distortion": distortion},
        training=TrainingConfig(epochs=12, batch_size=50, learning_rate=2e-3),
        admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-2, retrain_epochs=1),
        attack=AttackConfig(),
    )


@pytest.fixture(scope="module")
def dense(mnist5k_cohort: Cohort) -> dict[str, Tensor]:
    run = DenseRun(trial(), mnist5k_cohort)
    while not run.finished:
        run.advance()
    return run.model.state_dict()


def some(cohort: Cohort, count: int = 60) -> Tensor:
    parts = (cohort.members, *(getattr(cohort, name) for name in EVALUATED))
    return torch.cat([part[:count] for part in parts])


def with_noise_instead_of(cohort: Cohort, parts: tuple[str, ...]) -> Cohort:
    """The cohort with every image of `parts` replaced by random pixels and a random label."""
    pixels, labels = cohort.images.pixels.clone(), cohort.images.labels.clone()
    generator = torch.Generator().manual_seed(0)
    for part in parts:
        where = getattr(cohort, part)
        shape = (len(where), *pixels.shape[1:])
        pixels[where] = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        labels[where] = torch.randint(10, (len(where),), generator=generator)
    spec = DATASETS["mnist5k"]
    images = DeviceImages(pixels, labels, spec.mean, spec.std)
    return dataclasses.replace(cohort, images=images)


@pytest.mark.parametrize("budget", [0.1, 2.0])
def test_the_labels_are_those_of_the_network_whatever_the_budget(
    mnist5k_cohort: Cohort, dense: dict[str, Tensor], budget: float
) -> None:
    indices = some(mnist5k_cohort)
    plain = LoadedDense(trial(), mnist5k_cohort, dense).predict(indices)
    answer = MemGuardRun(trial(budget), mnist5k_cohort, dense).predict(indices)
    assert torch.equal(answer.argmax(1), plain.argmax(1))  # label-only attacks see no change
    moved = (answer.exp() - plain.softmax(1)).abs().sum(1) > 1e-3
    assert moved.any()
    if budget == 2.0:  # no distance is larger: whatever helps is added
        assert moved.double().mean() > 0.8


def test_asking_twice_or_in_another_order_gives_the_same_answer(
    mnist5k_cohort: Cohort, dense: dict[str, Tensor]
) -> None:
    run = MemGuardRun(trial(0.02), mnist5k_cohort, dense)
    indices = some(mnist5k_cohort)
    first = run.predict(indices)
    assert torch.equal(run.predict(indices), first)
    torch.testing.assert_close(
        run.predict(indices.flip(0)).flip(0).exp(), first.exp(), rtol=0, atol=1e-4
    )
    again = MemGuardRun(trial(0.02), mnist5k_cohort, dense)
    again.load_state_dict(run.state_dict())
    assert torch.equal(again.predict(indices), first)
    assert not torch.equal(
        MemGuardRun(trial(0.02, seed=4), mnist5k_cohort, dense).predict(indices), first
    )


def test_nothing_is_fitted_on_an_image_that_anything_is_measured_on(
    mnist5k_cohort: Cohort, dense: dict[str, Tensor]
) -> None:
    others = with_noise_instead_of(mnist5k_cohort, EVALUATED)
    members = mnist5k_cohort.members[:100]
    one, two = (
        MemGuardRun(trial(0.02), cohort, dense).predict(members)
        for cohort in (mnist5k_cohort, others)
    )
    assert torch.equal(one, two)
    reserve = with_noise_instead_of(mnist5k_cohort, ("reserve",))
    assert not torch.equal(one, MemGuardRun(trial(0.02), reserve, dense).predict(members))


@pytest.mark.parametrize("budget", [0.02, 2.0])
def test_what_it_spends_is_the_mean_distance_of_its_answers_on_the_audited_images(
    mnist5k_cohort: Cohort, dense: dict[str, Tensor], budget: float
) -> None:
    few = dataclasses.replace(mnist5k_cohort, audited=mnist5k_cohort.audited[::20])
    plain = LoadedDense(trial(), few, dense).predict(few.audited).softmax(1)
    run = MemGuardRun(trial(budget, seed=4), few, dense)
    asked_before = MemGuardRun(trial(budget, seed=4), few, dense)
    asked_before.predict(few.validation[:10])
    expected = (run.predict(few.audited).exp() - plain).abs().sum(1).double().mean()
    assert run.spent == {"distortion": pytest.approx(float(expected), abs=1e-6)}
    assert asked_before.spent == run.spent
    assert 0 < run.spent["distortion"] <= 2


def test_it_is_finished_at_once(mnist5k_cohort: Cohort, dense: dict[str, Tensor]) -> None:
    run = MemGuardRun(trial(), mnist5k_cohort, dense)
    assert run.finished
    assert run.progress == 1.0
    with pytest.raises(RuntimeError, match="nothing left to train"):
        run.advance()
