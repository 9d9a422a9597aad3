"""What goes wrong on one machine: every trial is there once, finished or FAILED with its reason."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ray._private.utils import get_system_memory, get_used_memory

from analysis.load import load_run
from search.tune.resume import has_snapshot
from tests.system.program import Program, assert_study_equals_ledger, rows
from tests.system.test_interruption import (
    PATIENCE_S,
    finished_rows,
    kill_with_children,
    start,
    wait_for_rows,
)

pytestmark = [pytest.mark.slow, pytest.mark.system]

FAULTY = Path(__file__).parent / "faulty"
PLANTED = {
    "search-0003": "raises",
    "search-0004": "nan",
    "search-0005": "hangs",
    "search-0006": "killed",
    "search-0007": "killed once",
    "search-0008": "clock",
}
TRIALS = 9
LEAK_BYTES = 8 * 2**30
"""What a trial may leak before it is ended."""

SMALL = ("--preset", "smoke", "--no-references", "--confirm-top", 1)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: root only")


@contextlib.contextmanager
def planted(faults: dict[str, str], marks: Path) -> Iterator[None]:
    """Programs that are started here have these faults: trial id -> name."""
    with pytest.MonkeyPatch.context() as patch:
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTY), *([path] if path else [])]))
        patch.setenv("PLANTED_FAULTS", json.dumps(faults))
        patch.setenv("PLANTED_MARKS", str(marks))
        yield


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in which six of nine trials misbehave, each in another way."""
    base = tmp_path_factory.mktemp("faults")
    out, errors = base / "run", base / "errors"
    with planted(PLANTED, base):
        process = start(
            errors,
            *(*SMALL, "--trials", TRIALS, "--trial-timeout", "25s", "--out", out),
            *("--study-storage", f"journal://{base / 'study'}"),
        )
        try:
            status = process.wait(timeout=2 * PATIENCE_S)  # three tries of what hangs, and more
        finally:
            kill_with_children(process)
    assert status == 0, errors.read_text()
    return out


def outcome(run: Path, fault: str) -> pd.Series:
    """The row of the trial with that fault."""
    (trial_id,) = [name for name, planted in PLANTED.items() if planted == fault]
    (row,) = [row for _, row in rows(run, "search").iterrows() if row["trial_id"] == trial_id]
    return row


def test_every_trial_is_there_once_whatever_happens_to_the_others(faulty_run: Path) -> None:
    found = rows(faulty_run, "anchor", "search")
    assert list(found["number"]) == list(range(TRIALS))
    assert Counter(found["state"]) == {"COMPLETE": 5, "FAILED": 4}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "planted: this trial raises"),
        ("nan", "the training loss became nan"),
        ("hangs", "no epoch within --trial-timeout"),
        ("killed", "or killed, perhaps for its memory"),
    ],
)
def test_a_failed_trial_says_why(faulty_run: Path, fault: str, reason: str) -> None:
    row = outcome(faulty_run, fault)
    assert row["state"] == "FAILED"
    assert reason in row["error"]
    assert pd.isna(row["attack_gain"])


def test_a_trial_whose_process_is_killed_once_goes_on_from_its_checkpoint(faulty_run: Path) -> None:
    row = outcome(faulty_run, "killed once")
    assert (row["state"], row["epochs"]) == ("COMPLETE", 2)
    begun = epochs_begun(faulty_run.parent, row["trial_id"])
    assert begun == ["0", "1", "1"], "its first epoch was trained once, the second begun twice"


def test_a_clock_that_is_an_hour_behind_changes_no_duration(faulty_run: Path) -> None:
    found = rows(faulty_run, "anchor", "search")
    behind = outcome(faulty_run, "clock")
    assert found["started_at"].max() - behind["started_at"] > pd.Timedelta(minutes=45)
    assert (found["duration_s"] >= 0).all()
    assert behind["duration_s"] < PATIENCE_S
    assert behind["state"] == "COMPLETE"


def test_the_studys_trials_equal_the_ledgers(faulty_run: Path) -> None:
    assert_study_equals_ledger(f"journal://{faulty_run.parent / 'study'}", "run", faulty_run)


def test_dense_models_whose_training_diverges_are_the_recipes_fault(
    program: Program, tmp_path: Path
) -> None:
    done = program(*SMALL, "--set", "training.learning_rate=1e30", "--out", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: dense model baseline-0000 failed: the training loss became nan; lower the learning"
    )
    assert "Traceback" not in done.stderr


def test_a_reference_that_failed_for_good_is_made_again_on_resume(
    program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with planted({"reference-0001": "raises"}, tmp_path):
        done = program(
            *("--preset", "smoke", "--trials", 1),
            *("--out", out),
        )
    assert done.returncode == 1, done.stderr
    assert "reference model reference-0001 failed" in done.stderr.splitlines()[-1]
    assert "planted: this trial raises" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "planted: this trial raises" in (out / "run.log").read_text()
    done = program("--resume", out)
    assert done.returncode == 0, done.stderr


def epochs_begun(marks: Path, trial_id: str) -> list[str]:
    """Which epochs of the trial were begun, in order, in all its processes."""
    return (marks / f"{trial_id}.epochs").read_text().split()


def wait_for_epochs(process: subprocess.Popen[bytes], marks: Path, trial_id: str) -> None:
    """Until the trial has begun one, or the program has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not (marks / f"{trial_id}.epochs").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def killed_at_last(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Nothing of the program is left."""
    try:
        yield process
    finally:
        kill_with_children(process)


ONE_AT_A_TIME = (*SMALL, "--trials", 4, "--concurrency", 1)


def test_on_sigterm_a_running_trial_writes_a_checkpoint_and_goes_on_from_it(
    program: Program, tmp_path: Path
) -> None:
    out, errors = tmp_path / "run", tmp_path / "errors"
    with planted({"search-0002": "waits"}, tmp_path):
        with killed_at_last(start(errors, *ONE_AT_A_TIME, "--out", out)) as process:
            wait_for_epochs(process, tmp_path, "search-0002")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE_S) == 130, errors.read_text()
        said = errors.read_text()
        assert "SIGTERM: the running trials write their checkpoints first" in said
        assert f"python -m search.run --resume {out}" in said
        assert "Traceback" not in said
        assert "search-0002" not in set(rows(out, "search")["trial_id"]), "it must not end first"
        assert list(out.glob("tune/search/search-0002/checkpoint_*/state.pt"))
        (tmp_path / "let-go").touch()
        done = program("--resume", out)
    assert done.returncode == 0, done.stderr
    begun = epochs_begun(tmp_path, "search-0002")
    assert begun.count("0") == 1, "its first epoch was trained once"
    searched = rows(out, "anchor", "search")
    assert list(searched["number"]) == list(range(4))
    assert (searched["state"] == "COMPLETE").all()


def test_on_sigterm_to_all_of_its_processes_the_program_ends_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    """As `timeout`, a shell's `kill %1` and batch systems do; Ray's head must not end first."""
    out, errors = tmp_path / "run", tmp_path / "errors"
    with (
        planted({"search-0002": "waits"}, tmp_path),
        killed_at_last(start(errors, *ONE_AT_A_TIME, "--out", out)) as process,
    ):
        wait_for_epochs(process, tmp_path, "search-0002")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 130, errors.read_text()
    assert f"python -m search.run --resume {out}" in errors.read_text()
    assert has_snapshot(out / "tune" / "search")
    assert list(rows(out, "anchor", "search")["number"]) == [0, 1]


def test_a_trial_that_leaks_memory_is_ended_and_the_search_goes_on(tmp_path: Path) -> None:
    """Ray ends it at a bound on the machine's memory; here the bound is near."""
    used, there = get_used_memory(), get_system_memory()
    if used + LEAK_BYTES > 0.95 * there:
        pytest.skip(f"NO LEAK WAS TESTED: {used / 2**30:.0f} of {there / 2**30:.0f} GiB are used")
    out, errors = tmp_path / "run", tmp_path / "errors"
    with planted({"search-0002": "leaks"}, tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", f"{(used + LEAK_BYTES) / there:.3f}")
        with killed_at_last(start(errors, *ONE_AT_A_TIME, "--out", out)) as process:
            assert process.wait(timeout=PATIENCE_S) == 0, errors.read_text()
    found = rows(out, "anchor", "search").set_index("trial_id")
    assert Counter(found["state"]) == {"COMPLETE": 3, "FAILED": 1}
    leaking = found.loc["search-0002"]
    assert leaking["state"] == "FAILED"
    assert "its machine ran low on memory" in leaking["error"]
    assert len(epochs_begun(tmp_path, "search-0002")) > 2, "it was tried again"


def test_a_trial_whose_process_is_killed_at_its_very_start_is_tried_again(
    tmp_path: Path,
) -> None:
    """Ray Tune gives it a process that has run another; that one is lost amid the change."""
    out, errors = tmp_path / "run", tmp_path / "errors"
    with (
        planted({"search-0003": "killed at start"}, tmp_path),
        killed_at_last(start(errors, *ONE_AT_A_TIME, "--out", out)) as process,
    ):
        assert process.wait(timeout=PATIENCE_S) == 0, errors.read_text()
    found = rows(out, "anchor", "search")
    assert list(found["number"]) == list(range(4))
    assert (found["state"] == "COMPLETE").all(), found[["trial_id", "error"]]
    assert (tmp_path / "search-0003").exists(), "it was killed"


@contextlib.contextmanager
def mounted(folder: Path, *words: object) -> Iterator[Path]:
    """`folder` with a file system of its own; skips aloud where mounting is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", *map(str, words), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is free; a few bytes at the end, so that nothing fits."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while stream.write(b"\0" * size) == size:
                    pass
    return ballast


def test_a_second_program_on_a_run_is_refused(program: Program, tmp_path: Path) -> None:
    out, errors = tmp_path / "run", tmp_path / "errors"
    with (
        planted({"search-0002": "waits"}, tmp_path),
        killed_at_last(start(errors, *ONE_AT_A_TIME, "--out", out)) as process,
    ):
        wait_for_epochs(process, tmp_path, "search-0002")
        done = program("--resume", out)
        assert process.poll() is None, errors.read_text()
    assert done.returncode == 2, done.stderr
    assert "another program is writing this run now" in done.stderr


@needs_root
def test_a_full_disk_ends_the_run_in_one_line_and_with_room_it_goes_on(
    program: Program, tmp_path: Path
) -> None:
    errors = tmp_path / "errors"
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        out = disk / "run"
        process = start(errors, *SMALL, "--trials", 6, "--out", out)
        wait_for_rows(process, out, 3)
        ballast = fill(disk)
        assert process.wait(timeout=PATIENCE_S) == 1, errors.read_text()
        said = errors.read_text()
        assert "No space left on device" in said
        assert "Traceback" not in said
        before = load_run(out).trials["trial_id"]
        ballast.unlink()
        done = program("--resume", out)
        assert done.returncode == 0, done.stderr
        assert list(rows(out, "anchor", "search")["number"]) == list(range(6))
        assert set(before) <= set(load_run(out).trials["trial_id"])


@needs_root
def test_a_shared_folder_that_hangs_for_half_a_minute_costs_nothing(tmp_path: Path) -> None:
    """As one on NFS whose server is away: every write waits, none fails."""
    errors, image = tmp_path / "errors", tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(tmp_path / "shared", "-o", "loop", image) as folder:
        out = folder / "run"
        process = start(errors, *SMALL, "--trials", 6, "--out", out)
        wait_for_rows(process, out, 3)
        subprocess.run(["fsfreeze", "--freeze", folder], check=True)
        try:
            frozen = finished_rows(out)
            time.sleep(30)  # the fault itself
            assert finished_rows(out) == frozen
            assert process.poll() is None, errors.read_text()
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)
        assert process.wait(timeout=PATIENCE_S) == 0, errors.read_text()
        searched = rows(out, "anchor", "search")
        assert list(searched["number"]) == list(range(6))
        assert (searched["state"] == "COMPLETE").all()


@needs_root
def test_a_folder_that_can_only_be_read_is_refused_in_one_line(
    smoke_run: Path, program: Program, tmp_path: Path
) -> None:
    with mounted(tmp_path / "readonly", "--bind", smoke_run) as folder:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        for words in (("--resume", folder), ("--out", folder / "new", "--preset", "smoke")):
            done = program(*words)
            assert done.returncode == 2, done.stderr
            assert "cannot be written (Read-only file system)" in done.stderr
            assert "Traceback" not in done.stderr
