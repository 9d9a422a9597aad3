"""Small synthetic runs in the exact format on disk."""

import dataclasses
import datetime
import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import figures
from trainables.records import (
    AUDIT_SCHEMA,
    EPOCH_SCHEMA,
    TRIAL_SCHEMA,
    EpochRecord,
    TrialRecord,
    to_table,
)

LOG4 = float(np.log(4))
LAYERS = ["conv1", "conv2", "fc1", "fc2", "fc3"]
WEIGHTS = [150, 2400, 48000, 10080, 840]
PARAMETERS = 61706
"""Of LeNet-5: the prunable weights, and 236 biases."""

SPLIT_SIZES = {name: 1000 for name in ("members", "non_members", "validation", "test", "reference")}
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

RunWriter = Callable[..., Path]


def trial(kind: str, number: int, **changes: Any) -> TrialRecord:
    """A complete, feasible trial; `excess` and `reference` set the gains."""
    excess = changes.pop("excess", 0.02)
    reference = changes.pop("reference", None)
    keep = changes.pop("keep", 0.3)
    kept = changes.pop("n", [round(keep * size) for size in WEIGHTS])
    gains = {"constant": -LOG4, "thresholds": excess / 2 - LOG4, "calibrated": excess - LOG4}
    if reference is not None:
        gains["reference"] = reference - LOG4
    strongest = max(gains, key=lambda name: gains[name])
    values: dict[str, Any] = {
        "run_id": "r1",
        "trial_id": f"{kind}-{number:04d}",
        "number": number,
        "kind": kind,
        "state": "COMPLETE",
        "feasible": True,
        "seed": 7,
        "dataset": "mnist5k",
        "model": "lenet5",
        "defense": "pruning",
        "sampler": "tpe",
        "started_at": START + datetime.timedelta(seconds=10 * number),
        "duration_s": 10.0,
        "node": "node-a",
        "device": "cpu",
        "layer_names": LAYERS,
        "layer_weights": WEIGHTS,
        "n": kept,
        "nonzero": sum(kept),
        "weights": sum(WEIGHTS),
        "compression": sum(WEIGHTS) / sum(kept),
        "flops_ratio": keep,
        "train_accuracy": 0.99,
        "val_accuracy": 0.93,
        "attack_gain": gains[strongest],
        "attack_gain_se": 0.006,
        "excess_gain": gains[strongest] + LOG4,
        "js_divergence": excess / 2,
        "js_divergence_se": 0.003,
        "attack_accuracy": 0.55,
        "attack_auc": 0.57,
        "tpr_at_1pct_fpr": 0.02,
        "tpr_at_01pct_fpr": 0.004,
        "strongest_attack": strongest,
        "attack_gains": gains,
        "accuracy_violation": -0.01,
        "compression_violation": -1.0,
        "epochs": 15,
        "images_seen": 15000,
        "parameters": PARAMETERS,
    }
    return TrialRecord(**{**values, **changes})


def without_gain(record: TrialRecord, state: str, **changes: Any) -> TrialRecord:
    """A stopped or failed trial: every attack figure null."""
    names = [
        *("attack_gain", "attack_gain_se", "excess_gain", "attack_accuracy"),
        *("js_divergence", "js_divergence_se"),
        *("attack_auc", "tpr_at_1pct_fpr", "tpr_at_01pct_fpr", "strongest_attack", "attack_gains"),
    ]
    return dataclasses.replace(
        record, **{**dict.fromkeys(names), "state": state, "feasible": False, **changes}
    )


def dense_trial() -> TrialRecord:
    return trial(
        "baseline",
        0,
        n=WEIGHTS,
        excess=0.07,
        reference=0.08,
        val_accuracy=0.935,
        test_accuracy=0.94,
        attack_accuracy=0.61,
        attack_auc=0.64,
    )


def searched_trials(count: int = 24) -> list[TrialRecord]:
    """Anchors, suggestions, one stopped and one failed trial."""
    generator = np.random.default_rng(3)
    records = []
    for number in range(count):
        keep = float(generator.uniform(0.08, 0.6))
        accuracy = 0.90 + 0.035 * keep**0.3 + float(generator.normal(0, 0.002))
        records.append(
            trial(
                "anchor" if number < 5 else "search",
                number,
                keep=keep,
                excess=0.005 + 0.08 * keep + float(abs(generator.normal(0, 0.004))),
                val_accuracy=round(accuracy, 3),
                feasible=bool(accuracy >= 0.925),
                accuracy_violation=0.925 - accuracy,
            )
        )
    records[7] = without_gain(records[7], "PRUNED", val_accuracy=0.912)
    records[11] = without_gain(
        records[11], "FAILED", val_accuracy=None, error="loss is not finite in phase admm"
    )
    return records


def confirm_trials(vectors: int = 3, seeds: int = 3) -> list[TrialRecord]:
    """Vector 0 leaks least but is not accurate enough, vector 1 should win."""
    return [
        trial(
            "confirm",
            vector * seeds + seed,
            keep=0.15 + 0.1 * vector,
            excess=0.010 + 0.006 * vector + 0.001 * seed,
            reference=0.022 + 0.008 * vector + 0.001 * seed,
            val_accuracy=(0.918, 0.928, 0.931)[vector] + 0.001 * seed,
            test_accuracy=(0.92, 0.934, 0.935)[vector] - 0.002 * seed,
            attack_accuracy=0.55 + 0.004 * seed,
            seed=100 + seed,
        )
        for vector in range(vectors)
        for seed in range(seeds)
    ]


def epoch_records(trial_id: str) -> list[EpochRecord]:
    return [
        EpochRecord(
            trial_id=trial_id,
            phase="admm" if epoch < 9 else "retrain",
            epoch=epoch,
            loss=0.1 / (1 + epoch),
            train_accuracy=0.99,
            val_accuracy=0.93,
            rho=0.01 if epoch < 9 else None,
            primal_residual=0.5 * 0.6**epoch if epoch < 9 else None,
            dual_residual=0.3 * 0.5**epoch if epoch < 9 else None,
        )
        for epoch in range(15)
    ]


def config(**search: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "run_id": "r1",
        "created_at": "2026-01-01T00:00:00+00:00",
        "command": "python -m search.run --dataset mnist5k --seed 0",
        "search": {
            "dataset": "mnist5k",
            "model": "lenet5",
            "sampler": "tpe",
            "trials": 24,
            "max_accuracy_drop": 0.01,
            "min_compression": None,
            "seed": 0,
            "confirm_seeds": 3,
            "references": 8,
            **search,
        },
        "packages": {"torch": "2.14.1", "ray": "2.60.0"},
        "hardware": {"cpus": 2, "gpus": 0},
        "split_hashes": {name: f"{index:064x}" for index, name in enumerate(SPLIT_SIZES)},
        "split_sizes": SPLIT_SIZES,
        "layer_names": LAYERS,
        "layer_weights": WEIGHTS,
        "dense_val_accuracy": 0.935,
    }


def full_run() -> list[TrialRecord]:
    records = [dense_trial(), *searched_trials(), *confirm_trials()]
    # the confirmed vectors were searched too, and looked better there
    for vector in range(3):
        records[10 + vector] = trial(
            "search", 9 + vector, keep=0.15 + 0.1 * vector, excess=0.006 + 0.006 * vector
        )
    records[20] = without_gain(
        records[20], "FAILED", val_accuracy=None, error="loss is not finite in phase admm"
    )
    return records


PICTURES = {
    name: draw
    for name, draw in inspect.getmembers(figures, inspect.isfunction)
    if draw.__module__.startswith(figures.__name__) and not name.startswith("_")
}
_DRAWN: dict[bytes, Any] = {}


def once(name: str) -> Callable[..., Any]:
    """The picture of that name, drawn anew only where its arguments are new."""

    def draw(*arguments: Any, **options: Any) -> Any:
        key = pickle.dumps((name, arguments, options))
        if key not in _DRAWN:
            _DRAWN[key] = PICTURES[name](*arguments, **options)
        return _DRAWN[key]

    return draw


@pytest.fixture
def pictures_drawn_once(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Any]:
    """Most of a page's time is its pictures, and many tests show the same ones.

    They are functions of their arguments alone; cleared, the dictionary lets them be drawn again.
    """
    for name in PICTURES:
        monkeypatch.setattr(figures, name, once(name))
    return _DRAWN


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders above, for tests that need rows of their own."""
    return SimpleNamespace(
        trial=trial,
        without_gain=without_gain,
        dense=dense_trial,
        searched=searched_trials,
        confirm=confirm_trials,
        epochs=epoch_records,
        config=config,
        full=full_run,
        frame=lambda records: pd.DataFrame([dataclasses.asdict(record) for record in records]),
    )


@pytest.fixture
def write_run(tmp_path: Path) -> RunWriter:
    """Write records as a run folder: one part per trial, as the ledger does."""

    def write(
        records: list[TrialRecord],
        *,
        name: str = "run",
        settings: dict[str, Any] | None = None,
        epochs: list[EpochRecord] | None = None,
    ) -> Path:
        folder = tmp_path / name
        (folder / "trials.parquet").mkdir(parents=True)
        (folder / "epochs.parquet").mkdir()
        (folder / "config.json").write_text(json.dumps(settings or config()), encoding="utf-8")
        for record in records:
            part = folder / "trials.parquet" / f"{record.trial_id}.parquet"
            pq.write_table(to_table([record], TRIAL_SCHEMA), part)
        for trial_id in {epoch.trial_id for epoch in epochs or []}:
            rows = [epoch for epoch in epochs or [] if epoch.trial_id == trial_id]
            part = folder / "epochs.parquet" / f"{trial_id}.parquet"
            pq.write_table(to_table(rows, EPOCH_SCHEMA), part)
        return folder

    return write


@pytest.fixture
def write_audit() -> Callable[..., None]:
    """Write RUN/audit/scores.parquet: attack -> share of images that it tells right, per model.

    canaries: every second image has a wrong label, and the attack can tell these only.
    """

    def write(folder: Path, *, canaries: bool = False, **models: dict[str, float]) -> None:
        count, generator = 1000, np.random.default_rng(5)
        is_member = np.repeat([True, False], count)
        canary = (np.arange(2 * count) % 2 == 0) & canaries
        parts = []
        for model, attacks in models.items():
            for attack, share in attacks.items():
                right = generator.permutation(2 * count) < 2 * count * share
                probability = np.where(right == is_member, share, 1 - share)
                probability = np.where(canary | (not canaries), probability, 0.5)
                columns = {
                    "model": [model] * (2 * count),
                    "attack": [attack] * (2 * count),
                    "image": np.arange(2 * count),
                    "is_member": is_member,
                    "canary": canary,
                    "score": probability,
                    "probability": probability,
                }
                parts.append(pa.table(columns, schema=AUDIT_SCHEMA))
        (folder / "audit").mkdir()
        pq.write_table(pa.concat_tables(parts), folder / "audit" / "scores.parquet")

    return write
