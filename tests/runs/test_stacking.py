"""Stacking really trained: resumable in every phase, and each network sees only its part."""

import dataclasses

import pytest
import torch
from torch import Tensor

from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.device import DeviceImages
from trainables.data.registry import DATASETS
from trainables.defenses.stacking import three_parts
from trainables.records import EpochRecord
from trainables.runs.stacking import StackedRun
from trainables.training import accuracy

pytestmark = pytest.mark.slow  # a real training

EPOCHS = 3
SHARE = 0.2


def trial(seed: int = 1) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model="lenet5",
        n=(),
        defense="stacking",
        parameters={"meta_share": SHARE},
        training=TrainingConfig(epochs=EPOCHS, batch_size=25, learning_rate=2e-3),
        admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-2, retrain_epochs=1),
        attack=AttackConfig(),
    )


def finish(run: StackedRun) -> list[EpochRecord]:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


def weights(run: StackedRun) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


@pytest.fixture(scope="module")
def whole(mnist5k_cohort: Cohort) -> tuple[list[EpochRecord], StackedRun]:
    run = StackedRun(trial(), mnist5k_cohort)
    return finish(run), run


def test_it_ends_with_a_useful_network_after_both_networks_epochs(
    whole: tuple[list[EpochRecord], StackedRun], mnist5k_cohort: Cohort
) -> None:
    records, run = whole
    assert [record.epoch for record in records] == list(range(1, 2 * EPOCHS + 1))
    assert run.epochs == 2 * EPOCHS
    assert run.progress == 1.0
    found = accuracy(run.model, mnist5k_cohort.images, mnist5k_cohort.validation)
    assert found > 0.7
    assert records[-1].val_accuracy == found
    answer = run.predict(mnist5k_cohort.validation[:5])
    with torch.no_grad():
        expected = run.model(mnist5k_cohort.images.batch(mnist5k_cohort.validation[:5]))
    torch.testing.assert_close(answer, expected)


@pytest.mark.parametrize("stop_after", [1, EPOCHS, EPOCHS + 1, 2 * EPOCHS])
def test_a_run_resumed_in_any_phase_ends_with_the_same_numbers(
    whole: tuple[list[EpochRecord], StackedRun],
    mnist5k_cohort: Cohort,
    stop_after: int,
    tmp_path: object,
) -> None:
    first = StackedRun(trial(), mnist5k_cohort)
    records = [first.advance() for _ in range(stop_after)]
    torch.save(first.state_dict(), f"{tmp_path}/state.pt")
    second = StackedRun(trial(), mnist5k_cohort)
    second.load_state_dict(torch.load(f"{tmp_path}/state.pt", weights_only=True))
    assert records + finish(second) == whole[0]
    after = weights(second)
    assert all(torch.equal(value, after[name]) for name, value in weights(whole[1]).items())


@pytest.mark.parametrize(("hidden", "changed"), [(0, "first"), (1, "second"), (2, "join")])
def test_each_part_of_the_members_reaches_only_its_own_stage(
    whole: tuple[list[EpochRecord], StackedRun], mnist5k_cohort: Cohort, hidden: int, changed: str
) -> None:
    cohort = mnist5k_cohort
    labels = cohort.images.labels[cohort.members]
    part = cohort.members[three_parts(labels, SHARE, trial().seed)[hidden]]
    pixels = cohort.images.pixels.clone()
    pixels[part] = 255 - pixels[part]
    spec = DATASETS["mnist5k"]
    images = DeviceImages(pixels, cohort.images.labels, spec.mean, spec.std)
    run = StackedRun(trial(), dataclasses.replace(cohort, images=images))
    finish(run)
    after = weights(run)
    moved = {
        name.split(".")[0]
        for name, value in weights(whole[1]).items()
        if not torch.equal(value, after[name])
    }
    assert moved == {changed, "join"}


def test_the_networks_start_differently_and_the_seed_decides_both(mnist5k_cohort: Cohort) -> None:
    one, same, other = (weights(StackedRun(trial(seed), mnist5k_cohort)) for seed in (1, 1, 2))
    assert not torch.equal(one["first.fc1.weight"], one["second.fc1.weight"])
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["first.fc1.weight"], other["first.fc1.weight"])
