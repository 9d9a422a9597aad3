"""A run folder as written is a run as read; anything else is one clear line."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.load import load_run
from trainables.base.errors import InvalidInput
from trainables.records import EPOCH_SCHEMA, TRIAL_SCHEMA, to_table

RunWriter = Callable[..., Path]


def test_reads_back_what_was_written(write_run: RunWriter, make: SimpleNamespace) -> None:
    records = make.full()
    run = load_run(write_run(records, epochs=make.epochs("confirm-0000")))
    assert list(run.trials.columns) == TRIAL_SCHEMA.names
    assert list(run.epochs.columns) == EPOCH_SCHEMA.names
    assert len(run.trials) == len(records)
    assert len(run.epochs) == 15
    by_id = run.trials.set_index("trial_id")
    for record in records:
        row = by_id.loc[record.trial_id]
        assert row["attack_gains"] == record.attack_gains
        assert row["n"] == tuple(record.n)
        assert row["layer_names"] == tuple(record.layer_names)
        assert row["state"] == record.state


def test_a_run_that_only_began_has_empty_tables(write_run: RunWriter) -> None:
    folder = write_run([])
    (folder / "epochs.parquet").rmdir()
    run = load_run(folder)
    assert run.trials.empty
    assert list(run.trials.columns) == TRIAL_SCHEMA.names
    assert list(run.epochs.columns) == EPOCH_SCHEMA.names


def test_a_part_that_is_being_written_is_left_alone(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run([make.dense()])
    (folder / "trials.parquet" / ".search-0000.parquet").write_bytes(b"half a")
    assert len(load_run(folder).trials) == 1


def test_columns_that_an_older_file_lacks_are_null(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run([make.dense()])
    old = to_table([make.trial("search", 0)], TRIAL_SCHEMA).drop_columns(["flops_ratio", "error"])
    pq.write_table(old, folder / "trials.parquet" / "search-0000.parquet")
    trials = load_run(folder).trials.set_index("trial_id")
    assert pd.isna(trials.loc["search-0000", "flops_ratio"])
    assert trials.loc["baseline-0000", "flops_ratio"] == 0.3


def newer_part(folder: Path, make: SimpleNamespace) -> None:
    metadata = {b"prune_privacy.schema_version": b"99"}
    table = to_table([make.dense()], TRIAL_SCHEMA).replace_schema_metadata(metadata)
    pq.write_table(table, folder / "trials.parquet" / "baseline-0000.parquet")


def foreign_part(folder: Path, _make: SimpleNamespace) -> None:
    pq.write_table(pa.table({"a": [1]}), folder / "trials.parquet" / "x.parquet")


def broken_part(folder: Path, _make: SimpleNamespace) -> None:
    (folder / "trials.parquet" / "x.parquet").write_bytes(b"PAR1 not really")


def mistyped_part(folder: Path, make: SimpleNamespace) -> None:
    table = to_table([make.dense()], TRIAL_SCHEMA)
    at = table.column_names.index("seed")
    table = table.set_column(at, "seed", pa.array(["seven"]))
    pq.write_table(table, folder / "trials.parquet" / "baseline-0000.parquet")


def newer_config(folder: Path, make: SimpleNamespace) -> None:
    (folder / "config.json").write_text(json.dumps({**make.config(), "version": 2}))


def poor_config(folder: Path, _make: SimpleNamespace) -> None:
    (folder / "config.json").write_text(json.dumps({"version": 1}))


def unversioned_config(folder: Path, _make: SimpleNamespace) -> None:
    (folder / "config.json").write_text("[]")


def broken_config(folder: Path, _make: SimpleNamespace) -> None:
    (folder / "config.json").write_text("{")


def no_config(folder: Path, _make: SimpleNamespace) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (newer_part, "schema version 99"),
        (foreign_part, "states no schema version"),
        (broken_part, "cannot be read"),
        (mistyped_part, "cannot be read"),
        (newer_config, "version 2"),
        (poor_config, "lacks run_id, search, split_sizes"),
        (unversioned_config, "states no version"),
        (broken_config, "cannot be read"),
        (no_config, "not a run folder"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    write_run: RunWriter,
    make: SimpleNamespace,
    damage: Callable[[Path, SimpleNamespace], None],
    message: str,
) -> None:
    folder = write_run([])
    damage(folder, make)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a run folder"):
        load_run(tmp_path / "nothing")


def test_null_gains_stay_null(write_run: RunWriter, make: SimpleNamespace) -> None:
    stopped = make.without_gain(make.trial("search", 0), "PRUNED")
    failed = dataclasses.replace(stopped, trial_id="search-0001", n=[])
    trials = load_run(write_run([stopped, failed])).trials
    assert trials["attack_gains"].isna().all()
    assert trials["excess_gain"].isna().all()
    assert trials.loc[1, "n"] == ()


@pytest.mark.parametrize("name", ["canaries", "limit"])
def test_a_share_of_canaries_or_a_limit_that_is_no_number_is_damage(
    write_run: RunWriter, make: SimpleNamespace, name: str
) -> None:
    with pytest.raises(InvalidInput, match=f"{name} has a value of another kind"):
        load_run(write_run([], settings=make.config(**{name: "many"})))
