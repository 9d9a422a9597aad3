"""A small finished run in the exact format on disk."""

import datetime
import json
import math
from pathlib import Path

import pytest

from search.recipes import recipe
from search.record import parts
from search.record.runfolder import RunFolder, describe
from search.record.trials_parquet import Ledger
from trainables.records import EpochRecord, TrialRecord

LAYERS, WEIGHTS = ["conv1", "fc1"], [150, 850]


def record(kind: str, number: int, kept: list[int], leak: float, **changes: object) -> TrialRecord:
    """A complete, feasible trial whose strongest attack has an excess gain of `leak` nats."""
    gains = {"constant": -math.log(4), "thresholds": leak - math.log(4)}
    values = {
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
        "started_at": datetime.datetime(2026, 1, 1, 0, 0, number, tzinfo=datetime.UTC),
        "duration_s": 10.0,
        "node": "node-a",
        "device": "cpu",
        "layer_names": LAYERS,
        "layer_weights": WEIGHTS,
        "n": kept,
        "nonzero": sum(kept),
        "weights": sum(WEIGHTS),
        "compression": sum(WEIGHTS) / sum(kept),
        "flops_ratio": 0.3,
        "train_accuracy": 0.99,
        "val_accuracy": 0.93,
        "test_accuracy": 0.93 if kind in ("baseline", "confirm") else None,
        "attack_gain": gains["thresholds"],
        "attack_gain_se": 0.006,
        "excess_gain": leak,
        "js_divergence": leak / 2,
        "js_divergence_se": 0.003,
        "attack_accuracy": 0.55,
        "attack_auc": 0.57,
        "tpr_at_1pct_fpr": 0.02,
        "tpr_at_01pct_fpr": 0.004,
        "strongest_attack": "thresholds",
        "attack_gains": gains,
        "accuracy_violation": -0.01,
        "compression_violation": -1.0,
        "epochs": 15,
        "images_seen": 15000,
        "pruner": "admm",
    }
    return TrialRecord(**{**values, **changes})


@pytest.fixture
def a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dense, two searched and two confirmed trials, each in a part of its own, with epochs of one.

    So a test can change one of them.
    """
    monkeypatch.setattr(parts, "TRIALS_IN_A_PART", 1)
    folder = RunFolder(tmp_path / "run")
    folder.create()
    names = ("members", "non_members", "validation", "test", "reference")
    inputs = {
        "split_hashes": dict.fromkeys(names, "0" * 64),
        "split_sizes": dict.fromkeys(names, 1000),
        "layer_names": LAYERS,
        "layer_weights": WEIGHTS,
    }
    config = describe(recipe("mnist5k", "lenet5"), "r1", {"preset": "default"}, inputs)
    folder.write_config(json.loads(json.dumps({**config, "dense_val_accuracy": 0.93})))
    ledger = Ledger(folder.path)
    for row in (
        record("baseline", 0, WEIGHTS, 0.08),
        record("search", 0, [100, 300], 0.02),
        record("search", 1, [50, 200], 0.03),
        record("confirm", 0, [100, 300], 0.024),
        record("confirm", 1, [100, 300], 0.026, seed=8),
    ):
        ledger.write(row)
    epoch = EpochRecord(
        trial_id="confirm-0000",
        phase="admm",
        epoch=0,
        loss=0.1,
        train_accuracy=0.9,
        val_accuracy=0.9,
        rho=0.01,
        primal_residual=0.5,
        dual_residual=0.3,
    )
    ledger.write_epochs("confirm-0000", [epoch])
    return folder.path
