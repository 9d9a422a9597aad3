"""Something small really trained: exact counts, and a resumed run equals an uninterrupted one."""

import dataclasses

import pytest
import torch

from trainables.base.seeding import derive_seed
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.device import DeviceImages
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.data.split import five_way_split
from trainables.records import EpochRecord
from trainables.runs.dense import DenseRun
from trainables.runs.pruning import PruningRun
from trainables.training import accuracy

pytestmark = pytest.mark.slow  # a real training

N = (40, 600, 9000, 2000, 300)


@pytest.fixture(scope="module")
def cohort(mnist5k: Images) -> Cohort:
    spec = DATASETS["mnist5k"]
    split = five_way_split(mnist5k.labels, spec.fractions, derive_seed(0, "split"))
    device = torch.device("cpu")
    return Cohort.of(DeviceImages.of(mnist5k, spec).to(device), split, device)


def trial(seed: int = 1, **changes: object) -> TrialConfig:
    config = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model="lenet5",
        n=N,
        training=TrainingConfig(epochs=4, batch_size=50, learning_rate=2e-3),
        admm=ADMMConfig(
            iterations=2,
            epochs_per_iteration=2,
            rho=1e-2,
            rho_growth=2.0,
            learning_rate=2e-3,
            retrain_epochs=2,
            weight_decay=0.1,
        ),
        attack=AttackConfig(),
    )
    return dataclasses.replace(config, **changes)


def finish(run: DenseRun | PruningRun) -> list[EpochRecord]:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


@pytest.fixture(scope="module")
def dense(cohort: Cohort) -> dict[str, torch.Tensor]:
    run = DenseRun(trial(), cohort)
    records = finish(run)
    assert records[-1].loss < records[0].loss
    return run.model.state_dict()


def weights(run: DenseRun | PruningRun) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def test_a_run_ends_with_exactly_n_weights_and_a_useful_network(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    run = PruningRun(trial(), cohort, dense, initial_seed=1)
    records = finish(run)
    assert tuple(int(mask.sum()) for mask in run.masks.values()) == N
    kept = [int(torch.count_nonzero(run.model.get_parameter(f"{k}.weight"))) for k in run.masks]
    assert tuple(kept) == N
    assert accuracy(run.model, cohort.images, cohort.validation) > 0.6
    assert [record.phase for record in records] == ["admm"] * 4 + ["retrain"] * 2


def test_residuals_and_rho_are_recorded_at_the_end_of_each_iteration(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    records = finish(PruningRun(trial(), cohort, dense, initial_seed=1))
    assert [record.primal_residual is not None for record in records] == [
        *(False, True, False, True),
        *(False, False),
    ]
    assert [record.rho for record in records] == [1e-2, 1e-2, 2e-2, 2e-2, None, None]
    assert records[-1].attack_accuracy is not None


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5])
def test_a_run_resumed_in_any_phase_ends_with_the_same_numbers(
    cohort: Cohort, dense: dict[str, torch.Tensor], stop_after: int, tmp_path: object
) -> None:
    whole = PruningRun(trial(), cohort, dense, initial_seed=1)
    expected = finish(whole)
    first = PruningRun(trial(), cohort, dense, initial_seed=1)
    records = [first.advance() for _ in range(stop_after)]
    path = f"{tmp_path}/state.pt"
    torch.save(first.state_dict(), path)
    second = PruningRun(trial(), cohort, dense, initial_seed=1)
    second.load_state_dict(torch.load(path, weights_only=True))
    assert records + finish(second) == expected
    after = weights(second)
    assert all(torch.equal(value, after[name]) for name, value in weights(whole).items())


def test_a_dense_run_resumed_ends_with_the_same_numbers(cohort: Cohort, tmp_path: object) -> None:
    whole = DenseRun(trial(), cohort)
    expected = finish(whole)
    first = DenseRun(trial(), cohort)
    records = [first.advance()]
    path = f"{tmp_path}/state.pt"
    torch.save(first.state_dict(), path)
    second = DenseRun(trial(), cohort)
    second.load_state_dict(torch.load(path, weights_only=True))
    assert records + finish(second) == expected
    after = weights(second)
    assert all(torch.equal(value, after[name]) for name, value in weights(whole).items())


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    runs = [PruningRun(trial(seed), cohort, dense, initial_seed=1) for seed in (1, 1, 2)]
    for run in runs:
        finish(run)
    one, same, other = (weights(run)["fc1.weight"] for run in runs)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_biases_are_never_pruned(cohort: Cohort, dense: dict[str, torch.Tensor]) -> None:
    run = PruningRun(trial(n=(1, 1, 1, 1, 1)), cohort, dense, initial_seed=1)
    finish(run)
    assert all(torch.count_nonzero(value) for k, value in weights(run).items() if "bias" in k)


def test_there_are_no_masks_before_the_hard_prune(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(RuntimeError, match="hard prune"):
        _ = PruningRun(trial(), cohort, dense, initial_seed=1).masks


def test_references_split_the_audited_images_in_halves(cohort: Cohort) -> None:
    from trainables.data.cohort import reference_halves

    halves = reference_halves(len(cohort.audited), 8, seed=3)
    assert (halves.sum(axis=0) == 4).all()
    assert (halves.sum(axis=1) == len(cohort.audited) // 2).all()
    reference = cohort.trained_on(halves[0])
    assert set(reference.members.tolist()) | set(reference.non_members.tolist()) == set(
        cohort.audited.tolist()
    )
    assert not set(reference.members.tolist()) & set(cohort.validation.tolist())
    with pytest.raises(ValueError, match="pairs"):
        reference_halves(10, 3, seed=0)


def test_a_candidate_with_numbers_of_its_own_is_trained_by_them(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    own = {"rho": 0.1, "retrain_learning_rate": 2e-3}
    one = PruningRun(trial(parameters=own), cohort, dense, initial_seed=1)
    preset = dataclasses.replace(trial().admm, **own)
    two = PruningRun(trial(admm=preset), cohort, dense, initial_seed=1)
    records = finish(one)
    assert records[0].rho == 0.1
    assert records == finish(two)
    for name, value in weights(two).items():
        assert torch.equal(weights(one)[name], value)


@pytest.mark.parametrize("kind", ["reference", "race"])
def test_a_model_without_a_row_is_validated_at_its_end_alone_and_trained_alike(
    cohort: Cohort, kind: str
) -> None:
    runs = [DenseRun(trial(kind=of, n=()), cohort) for of in ("baseline", kind)]
    recorded, unrecorded = (finish(run) for run in runs)
    assert [one.val_accuracy for one in unrecorded] == [None, None, None, recorded[-1].val_accuracy]
    assert None not in [one.val_accuracy for one in recorded]
    pruned = [
        finish(PruningRun(trial(kind=of), cohort, runs[0].model.state_dict(), initial_seed=0))
        for of in ("search", kind)
    ]
    assert [one.loss for one in pruned[1]] == [one.loss for one in pruned[0]]
    assert {one.attack_accuracy for one in pruned[1]} == {None}
    assert pruned[1][-1].val_accuracy == pruned[0][-1].val_accuracy


def test_state_holds_z_and_u_only_until_the_hard_prune(
    cohort: Cohort, dense: dict[str, torch.Tensor]
) -> None:
    """They are two more copies of all weights."""
    run = PruningRun(trial(), cohort, dense, initial_seed=1)
    while run.phase == "admm":
        assert set(run.state_dict()["admm"]) == {"Z", "U", "rho"}
        run.advance()
    assert run.state_dict()["admm"] is None
    assert run.masks
