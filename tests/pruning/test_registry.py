"""What every pruner promises: n_i to the weight, zeros that stay, a run that resumes."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers
from trainables.models.registry import MODELS, ModelSpec, Shape
from trainables.pruning.registry import PRUNERS
from trainables.records import EpochRecord
from trainables.runs.dense import DenseRun
from trainables.runs.pruning import PruningRun

N = (30, 41, 17)
DENSE_SEED = 5
OPTIMIZERS = ("adam", "sgd")


def small_network(n_classes: int, image_shape: Shape) -> nn.Module:
    """Three prunable layers of 75, 216 and 320 weights, and two batch norms."""
    return nn.Sequential(
        nn.Conv2d(image_shape[0], 3, 5, stride=4),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, n_classes),
    )


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "small", ModelSpec(build=small_network, sides=(28,)))


@pytest.fixture(scope="module")
def cohort(mnist5k_cohort: Cohort) -> Cohort:
    part = mnist5k_cohort.members[::5]
    return dataclasses.replace(
        mnist5k_cohort, members=part, validation=mnist5k_cohort.validation[:100]
    )


def trial(pruner: str, optimizer: str = "adam") -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="small",
        n=N,
        pruner=pruner,
        training=TrainingConfig(
            epochs=5, batch_size=20, optimizer=optimizer, learning_rate=3e-3, weight_decay=0.02
        ),
        admm=ADMMConfig(
            iterations=2,
            epochs_per_iteration=2,
            rho=1e-2,
            retrain_epochs=3,
            retrain_learning_rate=2e-3,
            weight_decay=0.1,
        ),
        attack=AttackConfig(),
    )


def dense(cohort: Cohort) -> dict[str, Tensor]:
    run = DenseRun(dataclasses.replace(trial("admm"), seed=DENSE_SEED), cohort)
    while not run.finished:
        run.advance()
    return run.model.state_dict()


def new(config: TrialConfig, cohort: Cohort) -> PruningRun:
    return PruningRun(config, cohort, dense(cohort), initial_seed=DENSE_SEED)


def finish(run: PruningRun) -> list[EpochRecord]:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


def at_hard_prune(run: PruningRun) -> PruningRun:
    while run.phase == "admm":
        run.advance()
    return run


def weights(run: PruningRun) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_it_ends_with_exactly_n_weights_and_pruned_ones_never_return(
    pruner: str, optimizer: str, cohort: Cohort
) -> None:
    run = at_hard_prune(new(trial(pruner, optimizer), cohort))
    masks = {name: mask.clone() for name, mask in run.masks.items()}
    start = weights(run)
    while not run.finished:
        run.advance()
        for name, weight in prunable_layers(run.model).items():
            assert not weight[~masks[name]].any()
    layers = prunable_layers(run.model)
    assert tuple(int(torch.count_nonzero(weight)) for weight in layers.values()) == N
    assert all(torch.equal(run.masks[name], mask) for name, mask in masks.items())
    assert all(not torch.equal(start[f"{name}.weight"], layers[name]) for name in masks)
    tensors = [
        (value, masks[name])
        for index, name in enumerate(layers)
        for value in run.state_dict()["optimizer"]["state"][index].values()
        if isinstance(value, Tensor) and value.shape == masks[name].shape
    ]
    assert len(tensors) == len(N) * (2 if optimizer == "adam" else 1)
    assert all(not value[~mask].any() for value, mask in tensors)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_run_resumed_after_any_epoch_ends_with_the_same_numbers(
    pruner: str, optimizer: str, cohort: Cohort, tmp_path: object
) -> None:
    config = trial(pruner, optimizer)
    whole = new(config, cohort)
    expected, path = finish(whole), f"{tmp_path}/state.pt"
    for stop_after in range(len(expected) + 1):
        first = new(config, cohort)
        records = [first.advance() for _ in range(stop_after)]
        torch.save(first.state_dict(), path)
        second = new(config, cohort)
        second.load_state_dict(torch.load(path, weights_only=True))
        assert records + finish(second) == expected
        after = weights(second)
        assert all(torch.equal(value, after[name]) for name, value in weights(whole).items())


@pytest.mark.parametrize("pruner", ["admm", "magnitude"])
def test_batch_norm_is_reestimated_for_the_masked_weights(pruner: str, cohort: Cohort) -> None:
    network = at_hard_prune(new(trial(pruner), cohort)).model
    first, norm = network[0], network[1]
    with torch.no_grad():
        channels = first(cohort.images.batch(cohort.members)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, channels.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, channels.var(1), rtol=1e-3, atol=1e-5)


def test_a_ticket_is_the_initial_network_under_the_masks_of_the_final_one(cohort: Cohort) -> None:
    run = new(trial("lottery"), cohort)
    final = dense(cohort)
    initial = build_model("small", n_classes=10, image_shape=(1, 28, 28), seed=DENSE_SEED)
    for (name, weight), n in zip(prunable_layers(initial).items(), N, strict=True):
        magnitude = final[f"{name}.weight"].abs()
        mask = magnitude >= magnitude.flatten().sort(descending=True).values[n - 1]
        assert torch.equal(run.masks[name], mask)
        assert torch.equal(run.model.get_parameter(f"{name}.weight"), weight * mask)
    for name, value in initial.state_dict().items():
        if value.ndim < 2:
            assert torch.equal(run.model.state_dict()[name], value)


def test_one_shot_pruning_keeps_the_largest_dense_weights(cohort: Cohort) -> None:
    run = new(trial("magnitude"), cohort)
    final = dense(cohort)
    for (name, weight), n in zip(prunable_layers(run.model).items(), N, strict=True):
        kept = weight[run.masks[name]].abs()
        every = final[f"{name}.weight"].abs().flatten().sort(descending=True).values
        assert torch.equal(kept.sort(descending=True).values, every[:n])


def test_one_shot_pruning_trains_as_long_as_admm_and_a_ticket_as_the_dense_network(
    cohort: Cohort,
) -> None:
    epochs = {pruner: len(finish(new(trial(pruner), cohort))) for pruner in PRUNERS}
    assert epochs == {"admm": 7, "magnitude": 7, "lottery": 5}
    assert PRUNERS["lottery"](trial("lottery")).retrain_learning_rate == 3e-3
    assert PRUNERS["lottery"](trial("lottery")).weight_decay == 0.02


@pytest.mark.parametrize("pruner", PRUNERS)
def test_progress_grows_to_one_and_stages_end_at_fixed_epochs(pruner: str, cohort: Cohort) -> None:
    run = new(trial(pruner), cohort)
    seen = [(run.progress, run.at_stage_end)]
    while not run.finished:
        run.advance()
        seen.append((run.progress, run.at_stage_end))
    progress = [value for value, _ in seen]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0.0, 1.0)
    ends = [epoch for epoch, (_, end) in enumerate(seen) if end]
    assert ends == {"admm": [2, 4, 6, 7], "magnitude": [4, 7], "lottery": [3, 5]}[pruner]
