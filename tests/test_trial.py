"""The Tune adapter without a cluster: reports, checkpoints, divergence, what becomes a row."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from search.tune.recorder import RunIdentity, to_record
from search.tune.searcher import judge
from trainables import trial as trial_module
from trainables.attacks.digest import digest_of, read_digest
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data import batches
from trainables.data.batches import ImageBatches
from trainables.data.cohort import reference_halves
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.data.split import five_way_split
from trainables.job import Job, Shared, job_of
from trainables.models.building import build_model, layer_sizes
from trainables.outcome.objective import Goal
from trainables.records import FAILED, TRIAL_SCHEMA, to_table
from trainables.runs import pruning
from trainables.training import predict
from trainables.trial import CHECKPOINT_EVERY_S, Trial, share_memory

SIZES = tuple(layer_sizes("lenet5", 10, (1, 28, 28)).values())
IDENTITY = RunIdentity(
    run_id="run",
    sampler="tpe",
    layer_names=("conv1", "conv2", "fc1", "fc2", "fc3"),
    layer_weights=SIZES,
)


@pytest.fixture(scope="module")
def shared(mnist5k: Images) -> Shared:
    model = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=0)
    return Shared(
        images=mnist5k,
        split=five_way_split(mnist5k.labels, DATASETS["mnist5k"].fractions, 0),
        dense={"baseline": {k: v.numpy().copy() for k, v in model.state_dict().items()}},
        halves=reference_halves(2000, 4, 0),
        device="cpu",
        references={},
    )


def job(**changes: object) -> Job:
    trial = TrialConfig(
        kind="search",
        number=3,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=tuple(size // 4 for size in SIZES),
        training=TrainingConfig(epochs=1, batch_size=100),
        admm=ADMMConfig(iterations=2, epochs_per_iteration=1, rho=1e-2, retrain_epochs=2),
        attack=AttackConfig(folds=2, neural_epochs=1),
    )
    return dataclasses.replace(Job(trial=trial, dense="baseline", accuracy_bound=0.2), **changes)


def finish(trial: Trial) -> dict:
    result = trial.step()
    while not result["done"]:
        result = trial.step()
    return result


def test_a_trial_reports_at_every_stage_end_and_ends_with_its_measurements(shared) -> None:
    trial = make(job(), shared)
    results = []
    while not results or not results[-1]["done"]:
        results.append(trial.step())
    assert [result["epochs"] for result in results] == [1, 2, 3, 4]
    assert [result["progress"] for result in results] == [0.0, 0.0, 0.5, 1.0]
    assert all("excess_gain" not in result for result in results[:-1])
    record = to_record(IDENTITY, job(), results[-1])
    assert record.state == "COMPLETE"
    assert record.nonzero == sum(job().trial.n)
    assert record.test_accuracy is None
    assert to_table([record], TRIAL_SCHEMA).num_rows == 1


def make(work: Job, shared: Shared) -> Trial:
    """A trial as `tune.with_parameters` makes it."""

    class Bound(Trial):
        def setup(self, config: dict) -> None:  # type: ignore[override]
            super().setup(config, shared)

    return Bound({"job": work.to_dict()})


@pytest.mark.slow
def test_a_trial_restored_from_its_checkpoint_ends_with_the_same_numbers(
    shared, tmp_path: Path
) -> None:
    expected = finish(make(job(), shared))
    first = make(job(), shared)
    first.step()
    first.save_checkpoint(str(tmp_path))
    second = make(job(), shared)
    second.load_checkpoint(str(tmp_path))
    result = finish(second)
    for name in ("excess_gain", "attack_gains", "val_accuracy", "history"):
        assert result[name] == expected[name]


@pytest.mark.slow
def test_with_notice_of_its_end_a_trial_leaves_a_checkpoint_after_every_epoch(shared) -> None:
    work = job()
    longer = dataclasses.replace(
        work.trial, admm=dataclasses.replace(work.trial.admm, epochs_per_iteration=3)
    )
    work = dataclasses.replace(work, trial=longer)
    first = make(work, shared).step()
    assert (first["epochs"], first["should_checkpoint"]) == (3, False)
    trial = make(work, shared)
    trial._notice = SimpleNamespace(given=True)
    results = [trial.step() for _ in range(4)]
    assert [result["epochs"] for result in results] == [1, 2, 3, 4]
    assert all(result["should_checkpoint"] for result in results)
    trial._notice = SimpleNamespace(given=False)
    assert trial.step()["epochs"] == 6


def test_a_trial_that_is_on_disk_already_answers_with_its_row_and_runs_nothing(shared) -> None:
    result = finish(make(job(), shared))
    (row,) = to_table([to_record(IDENTITY, job(), result)], TRIAL_SCHEMA).to_pylist(
        maps_as_pydicts="strict"
    )
    known = dataclasses.replace(shared, known={job().trial.trial_id: row})
    answer = make(job(), known).step()
    assert answer["done"]
    (again,) = to_table([to_record(IDENTITY, job(), answer)], TRIAL_SCHEMA).to_pylist(
        maps_as_pydicts="strict"
    )
    assert again == row
    assert judge(answer, Goal(units={"accuracy_violation": 0.01})) == judge(
        result, Goal(units={"accuracy_violation": 0.01})
    )


@pytest.mark.slow
def test_a_reused_actor_starts_the_next_job_afresh(shared) -> None:
    trial = make(job(), shared)
    finish(trial)
    other = job(trial=dataclasses.replace(job().trial, number=4, seed=9))
    assert trial.reset_config({"job": other.to_dict()})
    assert finish(trial)["history"] == finish(make(other, shared))["history"]


def test_a_diverged_trial_is_failed_and_never_comparable(shared) -> None:
    wild = dataclasses.replace(job().trial.admm, learning_rate=1e30)
    work = job(trial=dataclasses.replace(job().trial, admm=wild))
    result = finish(make(work, shared))
    assert "loss became" in result["trial_error"]
    record = to_record(IDENTITY, work, result)
    assert (record.state, record.feasible, record.excess_gain) == (FAILED, False, None)
    assert judge(result, Goal(units={"accuracy_violation": 0.01})).state.name == "FAIL"


@pytest.mark.slow
def test_a_job_that_keeps_its_model_leaves_weights_masks_and_logits(shared, tmp_path: Path) -> None:
    trial = make(job(keep_model=True), shared)
    assert finish(trial)["should_checkpoint"]
    trial.save_checkpoint(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        "model.safetensors",
        "masks.safetensors",
        "audited_logits.npy",
        "audited_digest.npz",
        "population_logits.npy",
        "correct.npz",
    }
    assert np.load(tmp_path / "population_logits.npy").shape == (500, 10)
    logits = np.load(tmp_path / "audited_logits.npy")
    assert logits.shape == (2000, 10)
    split = shared.split
    labels = shared.images.labels[np.concatenate([split.members, split.non_members])]
    digest = read_digest(tmp_path / "audited_digest.npz")
    for name, values in vars(digest_of(logits, labels)).items():
        np.testing.assert_array_equal(getattr(digest, name), values)
    with np.load(tmp_path / "correct.npz") as right:
        np.testing.assert_array_equal(right["audited"], logits.argmax(1) == labels)


def test_references_train_on_their_half_and_are_not_measured(shared) -> None:
    result = finish(make(job(reference=1), shared))
    assert result["finished"]
    assert "excess_gain" not in result


def test_a_dense_model_is_trained_then_measured_without_training(shared) -> None:
    trained = finish(make(job(dense=None), shared))
    assert trained["epochs"] == 1
    baseline = dataclasses.replace(job().trial, kind="baseline", n=SIZES)
    measured = finish(make(job(trial=baseline, before_s=100.0), shared))
    assert measured["compression"] == 1.0
    assert measured["test_accuracy"] is not None
    assert measured["duration_s"] > 100


def test_a_gpu_that_torch_cannot_use_is_named(shared) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="--gpus-per-trial 0"):
        make(job(), dataclasses.replace(shared, device="cuda"))


def test_what_the_searcher_suggests_overrides_the_base() -> None:
    config = {"job": job().to_dict(), "number": 7, "kind": "anchor", "n": [1, 2, 3, 4, 5]}
    merged = job_of({**config, "params": {"keep/conv1": 0.1}})
    assert merged.trial.trial_id == "anchor-0007"
    assert merged.trial.n == (1, 2, 3, 4, 5)


def test_violations_are_positive_beyond_a_bound(shared) -> None:
    result = finish(make(job(accuracy_bound=0.99, compression_bound=10.0), shared))
    assert result["accuracy_violation"] == pytest.approx(0.99 - result["val_accuracy"])
    assert result["compression_violation"] == pytest.approx(10 - sum(SIZES) / sum(job().trial.n))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "parameters", "epochs"),
    [
        ("none", {}, 3),
        ("early-stopping", {"epochs": 2.0}, 2),
        ("weight-decay", {"weight_decay": 9.0}, 3),
    ],
)
def test_a_defence_from_scratch_is_trained_and_measured(
    shared, defense, parameters, epochs
) -> None:
    base = job()
    training = dataclasses.replace(base.trial.training, epochs=3)
    trial = dataclasses.replace(
        base.trial, defense=defense, parameters=parameters, n=SIZES, training=training
    )
    result = finish(make(dataclasses.replace(base, trial=trial), shared))
    assert result["epochs"] == epochs
    assert result["compression"] == 1
    assert result["excess_gain"] is not None
    assert {epoch["phase"] for epoch in result["history"]} == {"dense"}


@pytest.mark.slow
def test_weight_decay_shrinks_the_weights(shared) -> None:
    norms = []
    for decay in (0.01, 20.0):
        base = job()
        trial = dataclasses.replace(
            base.trial, defense="weight-decay", parameters={"weight_decay": decay}, n=SIZES
        )
        made = make(dataclasses.replace(base, trial=trial), shared)
        finish(made)
        norms.append(float(made._run.model.get_parameter("fc1.weight").detach().norm()))
    assert norms[1] < norms[0]


class Counted:
    """Images that count how many of them are asked for; `batch` serves only Min-Max."""

    def __init__(self, images: ImageBatches) -> None:
        self._images = images
        self.labels, self.at_once = images.labels, images.at_once
        self.read = 0

    def batches(
        self, parts: Iterable[torch.Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch, labels in self._images.batches(parts, crops):
            self.read += len(batch)
            yield batch, labels


EPOCHS, STAGE_ENDS, HALF = 4, 3, 1000
MOST_GAP = 300


@pytest.mark.parametrize(
    ("changes", "besides"),
    [
        ({}, 0),
        ({"kind": "confirm", "keep_model": True}, 1000 + 500),  # the test part and the population
        ({"reference": 1, "keep_model": True}, None),
    ],
    ids=["search", "confirm", "reference"],
)
def test_a_finished_model_is_asked_once_for_every_image_that_it_is_measured_on(
    shared, monkeypatch, tmp_path, changes, besides
) -> None:
    counted = []

    def on_device(*args: object) -> Counted:
        counted.append(Counted(batches.on_device(*args)))
        return counted[-1]

    monkeypatch.setattr(trial_module, "on_device", on_device)
    monkeypatch.setattr(pruning, "MOST_GAP", MOST_GAP)
    kind = changes.get("kind", "reference" if "reference" in changes else "search")
    work = job(trial=dataclasses.replace(job().trial, kind=kind))
    rest = {key: value for key, value in changes.items() if key != "kind"}
    trial = make(dataclasses.replace(work, **rest), shared)
    assert finish(trial)["finished"]
    if work.keep_model or rest.get("keep_model"):
        trial.save_checkpoint(str(tmp_path))
    (images,) = counted
    training = EPOCHS * HALF
    measuring = images.read - training
    if besides is None:  # no row of its own: validated at its end, nothing in between
        assert measuring == 1000 + (2 * HALF + 500 + 1000 + 1000)
        return
    along = EPOCHS * 1000 + STAGE_ENDS * 2 * MOST_GAP  # validation, and the gap attack's samples
    assert measuring - along == 2 * HALF + 1000 + besides  # one pass, and validation


def test_checkpoints_are_counted_from_the_last_one(shared, tmp_path: Path, monkeypatch) -> None:
    """Each stage end of a trial that ran for long wrote one more, however short the time since."""
    clock = [0.0]
    monkeypatch.setattr("trainables.trial.time.monotonic", lambda: clock[0])
    trial = make(job(), shared)
    clock[0] = CHECKPOINT_EVERY_S + 1
    assert trial.step()["should_checkpoint"]
    trial.save_checkpoint(str(tmp_path))
    clock[0] += CHECKPOINT_EVERY_S - 1
    assert not trial.step()["should_checkpoint"]
    clock[0] += 2
    assert trial.step()["should_checkpoint"]


def test_an_ended_trial_s_checkpoint_answers_with_its_report_and_trains_nothing(
    shared, tmp_path: Path
) -> None:
    """Tune's snapshot may know the last checkpoint of a trial and not that it has ended."""
    first = make(job(keep_outputs=True), shared)
    ended = finish(first)
    first.save_checkpoint(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {  # no state, weights or masks
        "report.json",
        "audited_logits.npy",
        "audited_digest.npz",
        "population_logits.npy",
        "correct.npz",
    }
    second = make(job(keep_outputs=True), shared)
    second.load_checkpoint(str(tmp_path))
    again = second.step()
    assert again.pop("should_checkpoint") is False, "what is kept of its model is there already"
    assert {name: ended[name] for name in again} == json.loads(json.dumps(again))
    assert second._run.epochs == 0


def test_no_state_is_written_of_a_trial_that_diverged(shared, monkeypatch) -> None:
    wild = dataclasses.replace(job().trial.admm, learning_rate=1e30)
    monkeypatch.setattr("trainables.trial.CHECKPOINT_EVERY_S", -1.0)
    result = finish(make(job(trial=dataclasses.replace(job().trial, admm=wild)), shared))
    assert (result["done"], result["should_checkpoint"]) == (True, False)


class SmallGpu(torch.nn.Module):
    """Answers zeros to at most so many images at once, and is out of memory beyond."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.passes: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(batch))
        if len(batch) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return torch.zeros(len(batch), 10)


def test_out_of_memory_halves_the_images_per_forward_pass(shared) -> None:
    trial = make(job(), shared)
    images, indices = trial._cohort.images, trial._cohort.members
    model = SmallGpu(most=images.at_once // 4)
    assert predict(model, images, indices).shape == (len(indices), 10)
    assert max(model.passes[2:]) <= model.most
    with pytest.raises(torch.cuda.OutOfMemoryError):
        predict(SmallGpu(most=0), images, indices)


@pytest.mark.parametrize("where", ["training", "measurement"])
def test_a_trial_out_of_gpu_memory_is_failed_with_the_remedy_and_not_retried(
    shared, monkeypatch, where: str
) -> None:
    """Tune retries what raises; this would fail again."""

    def full(*_args: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    trial = make(job(), shared)
    if where == "training":
        monkeypatch.setattr(trial._run, "advance", full)
    else:
        monkeypatch.setattr("trainables.trial.measure_model", full)
    result = finish(trial)
    assert (result["done"], result["should_checkpoint"]) == (True, False)
    record = to_record(IDENTITY, job(), result)
    assert record.state == FAILED
    assert str(record.error).startswith("the GPU ran out of memory: give each trial more of it")


@pytest.mark.parametrize(
    ("device", "share", "set_to"), [("cuda", 0.5, [0.5]), ("cuda", 1.0, []), ("cpu", 0.0, [])]
)
def test_trials_that_share_a_gpu_keep_to_their_share_of_its_memory(
    monkeypatch, device: str, share: float, set_to: list[float]
) -> None:
    found: list[float] = []
    monkeypatch.setattr(
        "torch.cuda.set_per_process_memory_fraction", lambda one, _device: found.append(one)
    )
    share_memory(torch.device(device), share)
    assert found == set_to


@pytest.mark.slow
def test_a_process_that_only_trains_imports_no_attacks() -> None:
    """Pandas comes with Ray Tune."""
    program = "import sys, trainables.trial; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"sklearn", "matplotlib", "optuna", "torchvision", "opacus", "mlxtend"}
