"""The ledger: once per trial, whole or not at all, readable with nothing but pandas."""

import concurrent.futures
import dataclasses
import datetime
import pickle

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.record.trials_parquet import Ledger
from trainables.base.errors import InvalidInput
from trainables.base.storage import is_temporary
from trainables.records import (
    EPOCH_SCHEMA,
    SCHEMA_VERSION,
    TRIAL_SCHEMA,
    EpochRecord,
    TrialRecord,
    to_table,
)


def record(number=0, kind="search", **changes):
    values = {
        "run_id": "run",
        "trial_id": f"{kind}-{number:04d}",
        "number": number,
        "kind": kind,
        "state": "COMPLETE",
        "feasible": True,
        "seed": 0,
        "dataset": "mnist5k",
        "model": "lenet5",
        "defense": "pruning",
        "sampler": "tpe",
        "started_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "duration_s": 1.5,
        "node": "here",
        "device": "cpu",
        "layer_names": ["conv1", "fc"],
        "layer_weights": [150, 1000],
        "n": [15, 100],
        "weights": 1150,
        "excess_gain": 0.02,
        "attack_gains": {"thresholds": -1.37, "neural": -1.38},
        "accuracy_violation": -0.01,
        "epochs": 15,
        "images_seen": 15000,
    }
    return TrialRecord(**{**values, **changes})


def epochs(trial_id, count=3):
    return [
        EpochRecord(
            trial_id=trial_id,
            phase="admm",
            epoch=epoch,
            loss=1.0 / (epoch + 1),
            train_accuracy=0.9,
            val_accuracy=0.8,
        )
        for epoch in range(count)
    ]


def put(folder, table, name="search-0000"):
    (folder / "trials.parquet").mkdir(exist_ok=True)
    pq.write_table(table, folder / "trials.parquet" / f"{name}.parquet")


def with_version(table, version):
    return table.replace_schema_metadata({b"prune_privacy.schema_version": str(version).encode()})


def test_what_is_written_is_read_back(tmp_path):
    ledger = Ledger(tmp_path)
    written = [record(0), record(1, attack_gains=None, state="FAILED", error="planned")]
    for one in written:
        ledger.write(one)
    assert ledger.rows() == [dataclasses.asdict(one) for one in written]
    assert ledger.table().schema.equals(TRIAL_SCHEMA)


def test_nothing_written_is_no_rows_and_no_folder(tmp_path):
    ledger = Ledger(tmp_path / "run")
    assert ledger.rows() == []
    assert ledger.table().schema.equals(TRIAL_SCHEMA)
    ledger.remove_leftovers()
    assert not (tmp_path / "run").exists()


def test_writing_a_trial_again_replaces_it(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(record(excess_gain=0.5))
    ledger.write(record(excess_gain=0.1))
    ledger.write_epochs("search-0000", epochs("search-0000", 5))
    ledger.write_epochs("search-0000", epochs("search-0000", 2))
    assert [row["excess_gain"] for row in ledger.rows()] == [0.1]
    assert len(pd.read_parquet(tmp_path / "epochs.parquet")) == 2


def test_pandas_reads_both_folders(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.write(record(0))
    ledger.write(record(1, kind="anchor", attack_gains=None, excess_gain=None))
    ledger.write_epochs("search-0000", epochs("search-0000"))
    ledger.write_epochs("anchor-0001", [])
    trials = pd.read_parquet(tmp_path / "trials.parquet").set_index("trial_id")
    assert list(trials.reset_index().columns) != []
    assert dict(trials.loc["search-0000", "attack_gains"]) == {"thresholds": -1.37, "neural": -1.38}
    assert trials.loc["search-0000", "n"].tolist() == [15, 100]
    assert str(trials["started_at"].dtype.tz) == "UTC"
    read = pd.read_parquet(tmp_path / "epochs.parquet")
    assert list(read.columns) == EPOCH_SCHEMA.names
    assert read["epoch"].tolist() == [0, 1, 2]


def test_pandas_sees_exactly_the_contracts_columns(tmp_path):
    Ledger(tmp_path).write(record())
    assert list(pd.read_parquet(tmp_path / "trials.parquet").columns) == TRIAL_SCHEMA.names


class Killed(BaseException):
    """Stands for kill -9: no handler may catch it."""


def test_a_kill_between_write_and_rename_leaves_no_row_and_is_cleaned_up(tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    ledger = Ledger(tmp_path)
    ledger.write(record(0))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", kill)
        for again in (record(0, excess_gain=0.9), record(1)):
            with pytest.raises(Killed):
                ledger.write(again)
    folder = tmp_path / "trials.parquet"
    assert len(list(folder.iterdir())) == 3
    assert [row["excess_gain"] for row in ledger.rows()] == [0.02]
    assert len(pd.read_parquet(folder)) == 1
    ledger.remove_leftovers()
    (part,) = folder.iterdir()
    assert not is_temporary(part)


def test_writers_at_the_same_time_lose_nothing_and_double_nothing(tmp_path):
    numbers = [*range(20), *range(20)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Ledger(tmp_path).write(record(number)), numbers))
    assert [row["number"] for row in Ledger(tmp_path).rows()] == list(range(20))
    assert sorted(pd.read_parquet(tmp_path / "trials.parquet")["number"]) == list(range(20))


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"not parquet at all"])
def test_a_damaged_part_is_named(damage, tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(record(0))
    (tmp_path / "trials.parquet" / "search-0001.parquet").write_bytes(damage)
    with pytest.raises(InvalidInput, match=r"search-0001\.parquet is damaged"):
        ledger.rows()


def test_a_truncated_part_is_named(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(record(0))
    (part,) = (tmp_path / "trials.parquet").iterdir()
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match=rf"{part.name} is damaged") as raised:
        ledger.rows()
    assert "\n" not in str(raised.value)


def test_a_part_of_another_program_is_named(tmp_path):
    put(tmp_path, pa.table({"a": [1]}))
    with pytest.raises(InvalidInput, match="not ours"):
        Ledger(tmp_path).rows()


def test_an_older_version_is_read_with_its_missing_columns_null(tmp_path):
    current = to_table([record()], TRIAL_SCHEMA)
    older = current.drop_columns(["flops_ratio", "attack_gains"])
    older = older.append_column("gone_since", pa.array([1]))
    put(tmp_path, with_version(older, SCHEMA_VERSION - 1))
    (row,) = Ledger(tmp_path).rows()
    assert list(row) == TRIAL_SCHEMA.names
    assert (row["flops_ratio"], row["attack_gains"], row["excess_gain"]) == (None, None, 0.02)


def test_a_newer_version_is_refused(tmp_path):
    put(tmp_path, with_version(to_table([record()], TRIAL_SCHEMA), SCHEMA_VERSION + 1))
    with pytest.raises(InvalidInput, match=f"schema version {SCHEMA_VERSION + 1}"):
        Ledger(tmp_path).rows()


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "RUNNING"},
        {"kind": "reference"},
        {"trial_id": "../escape"},
        {"trial_id": ".hidden"},
        {"trial_id": ""},
    ],
)
def test_a_record_outside_the_contract_is_not_written(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"no trial|cannot name"):
        Ledger(tmp_path).write(record(**wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"n": ["many"]}, {"excess_gain": "low"}, {"epochs": "few"}])
def test_a_value_of_the_wrong_type_is_not_written(wrong, tmp_path):
    with pytest.raises(pa.ArrowException):
        Ledger(tmp_path).write(record(**wrong))
    assert list(tmp_path.iterdir()) == []


def test_epochs_of_another_trial_are_refused(tmp_path):
    with pytest.raises(ValueError, match="search-0001"):
        Ledger(tmp_path).write_epochs("search-0000", epochs("search-0001"))


def test_a_uri_names_its_own_file_system(tmp_path):
    Ledger(tmp_path.as_uri()).write(record())
    assert len(Ledger(tmp_path).rows()) == 1


def test_a_relative_folder_stays_where_it_was_when_the_process_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.write(record())
    assert len(Ledger(tmp_path / "run").rows()) == 1


def test_it_pickles_with_its_file_system(tmp_path):
    Ledger(tmp_path).write(record())
    rows = pickle.loads(pickle.dumps(Ledger(tmp_path).rows))
    assert len(rows()) == 1
