"""A run in an object store, and its mirror in PostgreSQL: real servers, killed and restarted."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from analysis.load import RunRecord, load_run
from search.record.mirror import opened
from search.record.runfolder import RunFolder
from search.record.trials_parquet import Ledger
from tests.system.program import environment, holders
from tests.system.servers import ObjectStore, Postgres, object_store, postgres
from tests.system.test_interruption import PATIENCE_S, kill_with_children, start
from trainables.base.errors import InvalidInput
from trainables.base.storage import place, write

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = (
    *("--preset", "smoke", "--trials", 6, "--concurrency", 1),
    *("--no-references", "--confirm-top", 1),
)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture
def connected(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store, known to this process and to those that it starts."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store


def wait_for(process: subprocess.Popen[bytes], run: str | Path, count: int, errors: Path) -> None:
    """Until the run has `count` rows; it must not end before."""
    folder = RunFolder(place(str(run)))
    deadline = time.monotonic() + PATIENCE_S
    while not folder.config.exists() or len(load_run(str(run)).trials) < count:
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def searched(run: RunRecord) -> list[int]:
    """Numbers of the search's rows, in order: a lost trial leaves a gap, a doubled one repeats."""
    kinds = run.trials["kind"].isin(["anchor", "search"])
    return sorted(run.trials[kinds]["number"])


def test_a_file_in_a_store_is_replaced_listed_and_removed(connected: ObjectStore) -> None:
    folder = place(f"s3://{connected.bucket}/files")
    assert not folder.exists()
    for content in ("one", "two"):
        write(folder / "deep" / "file.txt", content)
    assert (folder / "deep" / "file.txt").read_text() == "two"
    assert [child.name for child in folder.iterdir()] == ["deep"]
    assert folder.is_dir()
    assert (folder / "deep" / "file.txt").is_file()
    (folder / "deep" / "file.txt").unlink()
    with pytest.raises(FileNotFoundError):
        (folder / "deep" / "file.txt").read_bytes()


def test_a_bucket_that_is_not_there_is_named_at_once(connected: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be written .*NO_SUCH_BUCKET") as caught:
        RunFolder(place("s3://elsewhere/run")).create()
    assert "\n" not in str(caught.value)


def test_a_run_in_a_store_survives_kill_9_and_a_store_that_is_away(
    connected: ObjectStore, tmp_path: Path
) -> None:
    run, errors = f"s3://{connected.bucket}/runs/first", tmp_path / "errors"
    process = start(errors, *SMALL, "--out", run)
    wait_for(process, run, 3, errors)
    kill_with_children(process)
    before = searched(load_run(run))
    process = start(errors, "--resume", run)
    wait_for(process, run, 4, errors)
    connected.process.send_signal(19)  # SIGSTOP: connections open, nothing answers
    time.sleep(30)  # the fault itself: every attempt of the client's own retries runs out
    connected.process.send_signal(18)
    assert process.wait(timeout=PATIENCE_S) == 0, errors.read_text()
    loaded = load_run(run)
    assert before == searched(loaded)[: len(before)]
    assert searched(loaded) == list(range(6))
    folder = place(run)
    for name in ("report.html", "winner/model.safetensors", "winner/card.md", "run.log"):
        assert (folder / name).is_file(), name
    assert holders(folder, connected.environment["AWS_SECRET_ACCESS_KEY"]) == []
    assert holders(folder, "runs/first"), "the search for secrets finds what is there"
    (folder / "report.html").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "analysis.report", run], env=environment(), check=True
    )
    assert done.returncode == 0
    assert (folder / "report.html").is_file()


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def test_the_mirror_catches_up_after_postgresql_was_away(
    database: Postgres, tmp_path: Path
) -> None:
    run, errors = tmp_path / "run", tmp_path / "errors"
    process = start(errors, *SMALL, "--out", run, "--study-storage", database.url)
    wait_for(process, run, 2, errors)
    database.stop()
    wait_for(process, run, 4, errors)
    database.start()
    assert process.wait(timeout=PATIENCE_S) == 0, errors.read_text()
    with opened(database.url) as storage:
        trials = optuna.load_study(study_name="run", storage=storage).get_trials()
    mirrored = {trial.user_attrs["trial_id"]: trial.value for trial in trials}
    rows = [row for row in Ledger(run).rows() if row["kind"] in ("anchor", "search")]
    assert mirrored == {row["trial_id"]: row["excess_gain"] for row in rows}
    assert len(trials) == 6
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert holders(tmp_path, "s3cret") == []
