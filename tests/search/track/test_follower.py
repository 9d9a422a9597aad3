"""A tracker that is away, slow or back again: it costs a run one warning and no row twice."""

import socket
import time
from pathlib import Path

import pytest

from search.record.trials_parquet import Ledger
from search.track import follower as module
from search.track.facts import tracked_run
from search.track.follower import Follower, followed, following
from search.track.protocol import TrackedRun
from search.track.registry import Target, require_tracker, target_of
from tests.search.track.shown import from_mlflow, from_tensorboard, mlflow_server
from tests.security.conftest import record
from trainables.base.errors import InvalidInput
from trainables.records import EpochRecord

STORED = {
    "run_id": "run",
    "created_at": "2026-01-02T03:04:05+00:00",
    "command": "python -m search.run",
    "search": {"dataset": "mnist5k"},
    "packages": {},
}
PASSWORD = "s3cret"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two rows, one with an epoch."""
    ledger = Ledger(tmp_path)
    epoch = EpochRecord(
        trial_id="search-0000",
        phase="retrain",
        epoch=0,
        loss=0.5,
        train_accuracy=0.75,
        val_accuracy=0.625,
    )
    ledger.write_epochs("search-0000", [epoch])
    for number in range(2):
        ledger.write(record("search", number, [15, 85], 0.02))
    return ledger


@pytest.fixture
def run(tmp_path: Path) -> TrackedRun:
    return tracked_run(STORED, tmp_path)


def tell(follower: Follower | None, ledger: Ledger, number: int) -> None:
    """As the recorder does."""
    assert follower is not None
    assert followed("run") is follower
    ledger.write(record("search", number, [15, 85], 0.02))
    follower.vector(ledger.rows()[number], [])


def warnings_in(said: list[str]) -> list[str]:
    """Without what it says while it waits."""
    return [line for line in said if not line.startswith("Waiting for tracker")]


def test_what_an_earlier_program_did_not_tell_is_told_first(ledger, run, tmp_path) -> None:
    said: list[str] = []
    with following(target_of("tensorboard"), run, ledger, said.append) as follower:
        tell(follower, ledger, 2)
    assert warnings_in(said) == []
    assert followed("run") is None
    children = from_tensorboard(tmp_path).by_name
    assert set(children) == {"search-0000", "search-0001", "search-0002"}
    assert children["search-0000"].curves["retrain/val_accuracy"] == {0: 0.625}


@pytest.mark.slow
def test_a_server_that_goes_costs_one_warning_and_a_resume_tells_it_the_rest(
    ledger, run, tmp_path
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    said: list[str] = []
    with mlflow_server(folder) as address:
        target = target_of(f"mlflow://{address}")
        with following(target, run, ledger, said.append) as follower:
            tell(follower, ledger, 2)
    assert warnings_in(said) == []
    port = int(address.rpartition(":")[2])
    with following(target, run, ledger, said.append) as follower:  # nothing listens there now
        for number in range(3, 9):
            began = time.monotonic()
            tell(follower, ledger, number)
            assert time.monotonic() - began < module.PATIENCE_S / 2
    (warning,) = warnings_in(said)
    assert warning.startswith(f"warning: tracker mlflow://{address} is away")
    assert warning.endswith("tells the tracker what it missed")

    said.clear()
    with mlflow_server(folder, port):
        with following(target, run, ledger, said.append) as follower:
            tell(follower, ledger, 9)
        shown = from_mlflow(address, "run")
    assert warnings_in(said) == []
    (parent,) = shown.parents
    assert parent.tags["status"] == "FINISHED"
    assert sorted(shown.by_name) == [f"search-{number:04d}" for number in range(10)]


@pytest.mark.slow
def test_nobody_waits_long_for_a_server_that_never_answers(ledger, run, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = f"http://ada:{PASSWORD}@127.0.0.1:{port}"
        target = Target(name="mlflow", address=address)
        began = time.monotonic()
        with following(target, run, ledger, said.append) as follower:
            tell(follower, ledger, 2)
        assert time.monotonic() - began < 30  # and not as long as a socket waits
    (warning,) = warnings_in(said)
    assert f"http://ada:***@127.0.0.1:{port}" in warning
    assert PASSWORD not in warning


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("mlfow://http://host", "did you mean mlflow"),
        ("", "is unknown"),
        ("mlflow", "write mlflow://http://HOST:PORT"),
        ("mlflow://host:5000", "write mlflow://http://HOST:PORT"),
        (f"mlflow://ftp://ada:{PASSWORD}@host", "write mlflow://http://HOST:PORT"),
        ("wandb://", "write wandb://PROJECT"),
        ("wandb://a/b/c", "write wandb://PROJECT"),
        ("tensorboard://runs", "write tensorboard"),
        (f"mlflow://http://ada:{PASSWORD}@127.0.0.1:1", "does not answer"),
        ("mlflow://https://127.0.0.1:1", "does not answer"),
    ],
)
def test_what_is_no_tracker_or_does_not_answer_is_refused(asked, why) -> None:
    with pytest.raises(InvalidInput, match=why) as raised:
        require_tracker(asked)
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_client_that_is_not_installed_is_named_with_its_extra(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'prune-privacy\[wandb\]'"):
        require_tracker("wandb://project")


def test_epochs_that_were_on_disk_before_their_row_are_told(ledger, run, tmp_path) -> None:
    """As those of the dense network, which is trained in one stage and measured in another."""
    for part in (tmp_path / "trials.parquet").iterdir():
        part.unlink()
    said: list[str] = []
    with following(target_of("tensorboard"), run, Ledger(tmp_path), said.append) as follower:
        assert follower is not None
        ledger.write(record("search", 0, [15, 85], 0.02))
        follower.vector(ledger.rows()[0], [])
    assert warnings_in(said) == []
    children = from_tensorboard(tmp_path).by_name
    assert children["search-0000"].curves["retrain/val_accuracy"] == {0: 0.625}


def test_nothing_is_asked_of_a_run_without_a_tracker(ledger, run) -> None:
    require_tracker(None)
    with following(None, run, ledger, pytest.fail) as follower:
        assert follower is None
        assert followed("run") is None
