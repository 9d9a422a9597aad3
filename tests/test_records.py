"""Rows come back from parquet as they were recorded, with exactly the columns of the schema."""

import dataclasses
import datetime
import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.records import (
    EPOCH_SCHEMA,
    KINDS,
    SCHEMA_VERSION,
    STATES,
    TRIAL_SCHEMA,
    EpochRecord,
    TrialRecord,
    to_table,
)

FAILED = TrialRecord(
    run_id="run",
    trial_id="search-0007",
    number=7,
    kind="search",
    state="FAILED",
    feasible=False,
    seed=1,
    dataset="mnist5k",
    model="lenet5",
    defense="none",
    sampler="tpe",
    started_at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC),
    duration_s=1.5,
    node="here",
    device="cpu",
    layer_names=["conv1", "fc1"],
    layer_weights=[150, 48000],
    n=[10, 2000],
    weights=48150,
    epochs=3,
    images_seen=3000,
    error="DivergedError: the training loss became nan",
)
COMPLETE = dataclasses.replace(
    FAILED,
    trial_id="search-0008",
    number=8,
    state="COMPLETE",
    feasible=True,
    nonzero=2010,
    compression=48150 / 2010,
    attack_gain=-1.2,
    strongest_attack="neural",
    attack_gains={"neural": -1.2, "thresholds": -1.3, "reference": -1.25},
    error=None,
)
EPOCH = EpochRecord(
    trial_id="search-0007", phase="admm", epoch=1, loss=0.5, train_accuracy=0.9, val_accuracy=0.8
)

TRIAL_COLUMNS = {
    "run_id": "string",
    "trial_id": "string",
    "number": "int64",
    "kind": "string",
    "state": "string",
    "feasible": "bool",
    "seed": "int64",
    "dataset": "string",
    "model": "string",
    "defense": "string",
    "sampler": "string",
    "started_at": "timestamp[us, tz=UTC]",
    "duration_s": "double",
    "node": "string",
    "device": "string",
    "layer_names": "list<item: string>",
    "layer_weights": "list<item: int64>",
    "n": "list<item: int64>",
    "nonzero": "int64",
    "weights": "int64",
    "compression": "double",
    "flops_ratio": "double",
    "train_accuracy": "double",
    "val_accuracy": "double",
    "test_accuracy": "double",
    "attack_gain": "double",
    "attack_gain_se": "double",
    "excess_gain": "double",
    "js_divergence": "double",
    "attack_accuracy": "double",
    "attack_auc": "double",
    "tpr_at_1pct_fpr": "double",
    "tpr_at_01pct_fpr": "double",
    "strongest_attack": "string",
    "attack_gains": "map<string, double>",
    "accuracy_violation": "double",
    "compression_violation": "double",
    "epochs": "int64",
    "images_seen": "int64",
    "error": "string",
    "pruner": "string",
    "defense_parameters": "map<string, double>",
    "defense_spent": "map<string, double>",
    "js_divergence_se": "double",
    "parameters": "int64",
    "training_s": "double",
    "answer_s": "double",
}
EPOCH_COLUMNS = {
    "trial_id": "string",
    "phase": "string",
    "epoch": "int64",
    "loss": "double",
    "train_accuracy": "double",
    "val_accuracy": "double",
    "rho": "double",
    "primal_residual": "double",
    "dual_residual": "double",
    "attack_accuracy": "double",
}
"""Name -> Arrow type, in order, as files already written have them; a new column goes last."""


@pytest.mark.parametrize(
    ("schema", "columns"), [(TRIAL_SCHEMA, TRIAL_COLUMNS), (EPOCH_SCHEMA, EPOCH_COLUMNS)]
)
def test_columns_and_their_types_stay_as_in_files_already_written(schema, columns) -> None:
    written = [(field.name, str(field.type)) for field in schema][: len(columns)]
    assert written == list(columns.items())


@pytest.mark.parametrize(
    ("record", "schema"), [(TrialRecord, TRIAL_SCHEMA), (EpochRecord, EPOCH_SCHEMA)]
)
def test_a_record_has_the_columns_of_its_schema_in_their_order(record, schema) -> None:
    assert [field.name for field in dataclasses.fields(record)] == schema.names
    assert schema.metadata == {b"prune_privacy.schema_version": str(SCHEMA_VERSION).encode()}


def as_rows(table: pa.Table, kind: type) -> list[object]:
    rows = table.to_pylist(maps_as_pydicts="strict")
    return [kind(**row) for row in rows]


def test_trials_survive_parquet(tmp_path) -> None:
    rows = [FAILED, COMPLETE, dataclasses.replace(COMPLETE, attack_gains={})]
    pq.write_table(to_table(rows, TRIAL_SCHEMA), tmp_path / "trials.parquet")
    table = pq.read_table(tmp_path / "trials.parquet")
    assert table.schema == TRIAL_SCHEMA
    assert table.schema.metadata == TRIAL_SCHEMA.metadata
    assert as_rows(table, TrialRecord) == rows


def test_epochs_survive_parquet(tmp_path) -> None:
    rows = [EPOCH, dataclasses.replace(EPOCH, epoch=2, rho=0.01, primal_residual=0.3)]
    pq.write_table(to_table(rows, EPOCH_SCHEMA), tmp_path / "epochs.parquet")
    table = pq.read_table(tmp_path / "epochs.parquet")
    assert table.schema == EPOCH_SCHEMA
    assert table.schema.metadata == EPOCH_SCHEMA.metadata
    assert as_rows(table, EpochRecord) == rows


def test_no_rows_are_a_table_too() -> None:
    for schema in (TRIAL_SCHEMA, EPOCH_SCHEMA):
        assert to_table([], schema).schema.equals(schema, check_metadata=True)
        assert to_table([], schema).num_rows == 0


def test_pandas_reads_gains_as_pairs_and_missing_values_as_missing(tmp_path) -> None:
    pq.write_table(to_table([FAILED, COMPLETE], TRIAL_SCHEMA), tmp_path / "trials.parquet")
    frame = pd.read_parquet(tmp_path / "trials.parquet")
    assert dict(frame["attack_gains"][1]) == COMPLETE.attack_gains
    assert frame["attack_gains"][0] is None
    assert math.isnan(frame["attack_gain"][0])
    assert frame["n"][1].tolist() == [10, 2000]
    assert frame["started_at"][0] == pd.Timestamp(FAILED.started_at)


def test_making_a_table_leaves_the_rows_alone() -> None:
    rows = [dataclasses.replace(COMPLETE)]
    to_table(rows, TRIAL_SCHEMA)
    assert rows == [COMPLETE]


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        to_table([dataclasses.replace(COMPLETE, number="seven")], TRIAL_SCHEMA)


def test_kinds_and_states_are_those_that_readers_know() -> None:
    assert KINDS == ("baseline", "anchor", "search", "confirm", "comparator")
    assert STATES == ("COMPLETE", "PRUNED", "FAILED")


def test_figures_that_a_stopped_trial_must_not_have_default_to_null() -> None:
    attack = [name for name in TRIAL_SCHEMA.names if "attack" in name or "tpr" in name]
    assert len(attack) >= 8
    assert all(
        getattr(FAILED, name) is None
        for name in [*attack, "excess_gain", "js_divergence", "js_divergence_se"]
    )
