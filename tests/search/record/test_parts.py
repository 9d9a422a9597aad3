"""Parts of many trials: each row in exactly one of them, whatever dies when, and read once."""

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from search.record import parts as module
from search.record.parts import Parts
from trainables.base import storage
from trainables.base.errors import InvalidInput
from trainables.base.storage import Place, RemotePath, place
from trainables.records import EPOCH_SCHEMA, EpochRecord, to_table


def rows(trial: str, loss: float = 0.5, count: int = 2) -> pa.Table:
    """The epochs of one trial."""
    epochs = [
        EpochRecord(
            trial_id=trial,
            phase="admm",
            epoch=epoch,
            loss=loss,
            train_accuracy=0.9,
            val_accuracy=0.8,
        )
        for epoch in range(count)
    ]
    return to_table(epochs, EPOCH_SCHEMA)


def losses(table: pa.Table | pd.DataFrame) -> dict[str, list[float]]:
    """Trial -> the losses of its rows."""
    frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
    return {str(trial): list(found["loss"]) for trial, found in frame.groupby("trial_id")}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIALS_IN_A_PART", 4)


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> Iterator[Place]:
    """A folder on a disk, or in a store whose objects are files below `tmp_path`."""
    if request.param == "disk":
        yield tmp_path / "bucket" / "trials"
        return
    (tmp_path / "bucket" / "trials").mkdir(parents=True)  # a store has no folders to be made
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(storage, "_store_of", lambda bucket: (store, "bucket"))
    yield place("s3://bucket/trials")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where the parts lie."""
    return tmp_path / "bucket" / "trials"


def test_ten_trials_are_three_parts_and_pandas_reads_them(folder: Place, files: Path) -> None:
    parts = Parts(folder, EPOCH_SCHEMA)
    for number in range(10):
        parts.put(f"search-{number:04d}", rows(f"search-{number:04d}"))
    found = sorted(files.iterdir())
    assert [pq.read_metadata(file).num_rows for file in found] == [8, 8, 4]
    assert [pq.read_metadata(file).num_row_groups for file in found] == [1, 1, 1]
    assert losses(pd.read_parquet(files)) == {f"search-{k:04d}": [0.5, 0.5] for k in range(10)}


def test_rows_come_by_trial_whatever_the_order_in_which_trials_ended(folder: Place) -> None:
    parts = Parts(folder, EPOCH_SCHEMA)
    for name in ("search-0003", "anchor-0000", "search-0001", "search-0010", "baseline-0000"):
        parts.put(name, rows(name, count=1))
    assert parts.table()["trial_id"].to_pylist() == [
        "anchor-0000",
        "baseline-0000",
        "search-0001",
        "search-0003",
        "search-0010",
    ]


def test_a_trial_that_is_written_again_stays_in_its_part(folder: Place, files: Path) -> None:
    parts = Parts(folder, EPOCH_SCHEMA)
    for name in "abcdef":
        parts.put(name, rows(name))
    for writer in (parts, Parts(folder, EPOCH_SCHEMA)):
        before = sorted(files.iterdir())
        writer.put("b", rows("b", loss=0.1, count=1))
        assert sorted(files.iterdir()) == before
        assert losses(writer.table())["b"] == [0.1]
    assert losses(pd.read_parquet(files)) == {name: [0.5, 0.5] for name in "acdef"} | {"b": [0.1]}


def test_parts_of_one_trial_each_as_older_runs_have_them_are_gone_on_with(
    folder: Place, files: Path
) -> None:
    files.mkdir(parents=True, exist_ok=True)
    for name in "abc":
        pq.write_table(rows(name), files / f"{name}.parquet")
    parts = Parts(folder, EPOCH_SCHEMA)
    parts.put("b", rows("b", loss=0.1))
    parts.put("d", rows("d"))
    assert losses(pq.read_table(files / "b.parquet")) == {"b": [0.1, 0.1]}
    assert losses(pd.read_parquet(files)).keys() == set("abcd")
    assert len(list(files.iterdir())) == 4


class Reads:
    """Counts the parts that are read from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for kind in (Path, RemotePath):
            monkeypatch.setattr(kind, "read_bytes", self._counted(kind.read_bytes))

    def _counted(self, read: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        def counted(path: Any) -> bytes:
            self.count += 1
            return read(path)

        return counted


def test_what_was_written_or_read_here_is_not_read_again(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(monkeypatch)
    parts = Parts(folder, EPOCH_SCHEMA)
    for number in range(20):
        parts.put(f"{number:02d}", rows(f"{number:02d}"))
        assert parts.table().num_rows == 2 * (number + 1)
    assert reads.count == 0
    other = Parts(folder, EPOCH_SCHEMA)
    for _ in range(3):
        assert other.table().num_rows == 40
    assert reads.count == 5
    parts.put("19", rows("19", count=7))
    assert other.table().num_rows == 45
    assert reads.count == 6


def test_two_writers_of_one_folder_lose_nothing_and_double_nothing(
    folder: Place, files: Path
) -> None:
    one, two = Parts(folder, EPOCH_SCHEMA), Parts(folder, EPOCH_SCHEMA)
    for number in range(12):
        (one, two)[number % 2].put(f"{number:02d}", rows(f"{number:02d}"))
        (two, one)[number % 2].put(f"{number // 2:02d}", rows(f"{number // 2:02d}", loss=0.1))
    expected = {f"{k:02d}": [0.1 if k < 6 else 0.5] * 2 for k in range(12)}
    assert losses(pd.read_parquet(files)) == expected
    assert losses(one.table()) == losses(two.table()) == expected


def test_a_part_that_is_damaged_stops_no_other_trial_from_being_written(
    folder: Place, files: Path
) -> None:
    parts = Parts(folder, EPOCH_SCHEMA)
    parts.put("a", rows("a"))
    (part,) = files.iterdir()
    part.write_bytes(b"PAR1")
    parts.put("b", rows("b"))
    with pytest.raises(InvalidInput, match=rf"{part.name} is damaged"):
        parts.table()
    part.unlink()
    assert losses(parts.table()) == {"b": [0.5, 0.5]}


class Killed(BaseException):
    """Stands for kill -9: no handler may catch it."""


class Crash:
    """Kills at the k-th step of all writes that follow, before it or after it was done."""

    STEPS = (
        (os, "fsync"),
        (Path, "open"),
        (Path, "replace"),
        (Path, "unlink"),
        (RemotePath, "put"),
        (RemotePath, "unlink"),
    )

    def __init__(self, patch: pytest.MonkeyPatch, at: int, *, done: bool) -> None:
        self.count, self._at, self._done = 0, at, done
        for owner, name in self.STEPS:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.count != self._at:
                return step(*arguments, **more)
            if self._done and hasattr(made := step(*arguments, **more), "close"):
                made.close()
            raise Killed

        return counted


TRIALS = "abc"  # the third begins a part
AGAIN = "ac"  # one of a full part, one of the part that is being filled


def test_a_kill_at_any_step_of_any_write_leaves_every_row_exactly_once(
    folder: Place, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIALS_IN_A_PART", 2)
    done, at, crashes = False, 0, 0
    while True:
        at += 1
        for done in (False, True):
            for path in files.iterdir() if files.exists() else ():
                path.unlink()
            survived = _crash_and_go_on(folder, files, at, done=done)
            crashes += not survived
        if survived:
            break
    assert crashes >= 2 * len(TRIALS + AGAIN)


def _crash_and_go_on(folder: Place, files: Path, at: int, *, done: bool) -> bool:
    """Whether there was no k-th step. Checks what readers find after the crash, and after a resume.

    done: whether the crash is after the step.
    """
    parts, known, pending = Parts(folder, EPOCH_SCHEMA), {}, {}
    survived = True
    with pytest.MonkeyPatch.context() as patch:
        Crash(patch, at, done=done)
        try:
            for place_of, name in enumerate(TRIALS + AGAIN):
                pending = {name: [float(place_of)] * 2}
                parts.put(name, rows(name, loss=float(place_of)))
                known |= pending
        except Killed:
            survived = False
    _assert_once(folder, files, known, pending)
    again = Parts(folder, EPOCH_SCHEMA)
    for place_of, name in enumerate(TRIALS + AGAIN):
        again.put(name, rows(name, loss=float(place_of)))
    whole = {name: [float((TRIALS + AGAIN).rindex(name))] * 2 for name in TRIALS}
    assert losses(pd.read_parquet(files)) == losses(again.table()) == whole
    return survived


def _assert_once(folder: Place, files: Path, known: Any, pending: Any) -> None:
    """The rows that were written, and those of the write that was killed, or what was there."""
    found = losses(Parts(folder, EPOCH_SCHEMA).table())
    assert found in (known, known | pending)
    visible = [file for file in files.glob("*") if not file.name.startswith(".")]
    assert (losses(pd.read_parquet(files)) if visible else {}) == found


def test_it_pickles_without_what_it_has_read(folder: Place) -> None:
    parts = Parts(folder, EPOCH_SCHEMA)
    before = len(pickle.dumps(parts))
    for name in TRIALS:
        parts.put(name, rows(name))
    assert len(pickle.dumps(parts)) == before
    assert losses(pickle.loads(pickle.dumps(parts)).table()) == losses(parts.table())
