"""kill -9 and Ctrl-C at any moment: nothing lost, nothing twice."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.load import load_run
from tests.system.program import (
    Program,
    assert_study_equals_ledger,
    command,
    environment,
    measured,
    pasted,
    rows,
)
from trainables.config import FEWEST_MODELS

pytestmark = [pytest.mark.slow, pytest.mark.system]

TRIALS = 20
PATIENCE_S = 600
"""A wait that never ends would hide a hang; far more than any run here takes."""

RACE_KILLS = int(os.environ.get("RACE_KILLS", "1"))
"""How often a run is killed while it races, at random moments."""


def start(errors: Path, *words: object) -> subprocess.Popen[bytes]:
    """The program in a session of its own, as from a terminal; its stderr goes to a file."""
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            command(*words),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # whoever runs the tests in a shell's background has Ctrl-C ignored, a terminal has not
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def finished_rows(out: Path) -> int:
    """Rows on disk."""
    parts = (out / "trials.parquet").glob("[!.]*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts)


def wait_for_rows(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    """Until `count` rows are on disk, or the program has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while finished_rows(out) < count and process.poll() is None:
        assert time.monotonic() < deadline, f"{finished_rows(out)} of {count} rows"
        time.sleep(0.05)


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the driver and of the Ray processes that it started, as a crash of the machine.

    They are its session: Ray's processes have process groups of their own.
    """
    subprocess.run(["pkill", "-KILL", "--session", str(process.pid)], check=False)
    process.wait()


def as_text(found: pd.DataFrame) -> dict[str, str]:
    """Trial id -> its whole row, so that a trial measured again would show."""
    return {row["trial_id"]: repr(row) for row in found.to_dict("records")}


def move(out: Path) -> Path:
    """The run in another folder, as after a copy to another machine."""
    elsewhere = out.with_name(f"{out.name}-moved")
    out.rename(elsewhere)
    return elsewhere


def tear(out: Path) -> Path:
    """What a crash amid the copy of each of Ray Tune's snapshots leaves."""
    torn = [*out.glob("tune/search/*.json"), *out.glob("tune/search/searcher-state-*.pkl")]
    assert torn
    for file in torn:
        os.truncate(file, file.stat().st_size // 2)
    return out


def test_a_driver_killed_three_times_loses_and_doubles_nothing(
    program: Program, tmp_path: Path
) -> None:
    """Between the kills the run is moved, and Ray Tune's own files are torn."""
    out, errors = tmp_path / "run", tmp_path / "errors"
    chooser = random.Random(20)
    moments = sorted(chooser.sample(range(1, TRIALS), 3))
    words: tuple[object, ...] = (
        *("--preset", "smoke", "--no-references", "--trials", TRIALS),
        *("--out", out, "--study-storage", f"journal://{tmp_path / 'study'}"),
    )
    seen: dict[str, str] = {}
    for moment, between in zip(moments, (move, tear, lambda out: out), strict=True):
        process = start(errors, *words)
        wait_for_rows(process, out, 1 + moment)  # the baseline's row comes first
        assert process.poll() is None, errors.read_text()
        kill_with_children(process)
        now = as_text(rows(out, "anchor", "search"))
        assert seen.items() <= now.items()
        seen = now
        out = between(out)
        words = ("--resume", out)
    done = program(*words)
    assert done.returncode == 0, done.stderr
    searched = rows(out, "anchor", "search")
    assert list(searched["number"]) == list(range(TRIALS))
    assert (searched["state"] == "COMPLETE").all()
    assert seen.items() <= as_text(searched).items()
    assert_study_equals_ledger(f"journal://{tmp_path / 'study'}", "run", out)
    assert not (tmp_path / "run").exists(), "the moved run must not go on in its old place"


def test_a_run_killed_while_it_trains_the_dense_models_starts_them_again(
    program: Program, tmp_path: Path
) -> None:
    out, errors = tmp_path / "run", tmp_path / "errors"
    process = start(errors, "--preset", "smoke", "--no-references", "--trials", 1, "--out", out)
    deadline = time.monotonic() + PATIENCE_S
    while not (out / "tune").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_with_children(process)
    done = program("--resume", out)
    assert done.returncode == 0, done.stderr
    assert len(rows(out, "anchor", "search")) == 1


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    """SIGTERM, which has the trials write checkpoints, is in test_faults.py."""
    out, errors = tmp_path / "run", tmp_path / "errors"
    process = start(
        errors,
        *("--preset", "smoke", "--no-references", "--trials", 8),
        *("--out", out),
    )
    wait_for_rows(process, out, 4)
    process.send_signal(signal.SIGINT)
    said = errors.read_text() if process.wait(timeout=PATIENCE_S) else ""
    assert process.returncode == 130, said
    assert f"python -m search.run --resume {out}" in said
    assert "Traceback" not in said
    before = set(rows(out, "anchor", "search")["trial_id"])
    assert len(before) >= 3
    done = pasted(said.partition("Continue with: ")[2].strip())
    assert done.returncode == 0, done.stderr
    assert "Dense: 1/1" in done.stderr
    assert "Dense: 0/1" not in done.stderr, "what was done is shown as done"
    assert "Baseline: 0/1" not in done.stderr
    searched = rows(out, "anchor", "search")
    assert len(searched) == 8
    assert before <= set(searched["trial_id"])


def raced(out: Path) -> int:
    """Models of the race that have left their last checkpoint."""
    return made(out, "race")


def made(out: Path, stage: str) -> int:
    """Models of a stage that have left their last checkpoint."""
    return len(list(out.glob(f"tune/{stage}/*/checkpoint_*/audited_logits.npy")))


def test_the_same_seed_gives_equal_rows_twice_though_one_run_was_killed_in_search_and_race(
    program: Program, tmp_path: Path
) -> None:
    trials = 5
    words = ("--preset", "smoke", "--trials", trials, "--seed", 5, "--concurrency", 1)
    straight, killed, errors = tmp_path / "straight", tmp_path / "killed", tmp_path / "errors"
    assert program(*words, "--out", straight).returncode == 0
    process = start(errors, *words, "--out", killed)
    wait_for_rows(process, killed, 3)
    assert process.poll() is None, errors.read_text()
    kill_with_children(process)
    every = trials * FEWEST_MODELS
    for moment in sorted(random.Random(5).sample(range(1, every), RACE_KILLS)):
        process = start(errors, "--resume", killed, "--concurrency", 1)
        deadline = time.monotonic() + PATIENCE_S
        while raced(killed) < moment and process.poll() is None:
            assert time.monotonic() < deadline, f"{raced(killed)} of {moment} models raced"
            time.sleep(0.02)
        assert process.poll() is None, errors.read_text()
        kill_with_children(process)
    done = program("--resume", killed, "--concurrency", 1)
    assert done.returncode == 0, done.stderr
    one, two = (
        measured(pd.read_parquet(out / "trials.parquet").sort_values("trial_id"))
        for out in (straight, killed)
    )
    assert one == two


def test_a_finished_run_killed_amid_more_models_and_robbed_of_its_rows_measures_nothing_twice(
    smoke_run: Path, program: Program, tmp_path: Path
) -> None:
    out, errors = Path(shutil.copytree(smoke_run, tmp_path / "run")), tmp_path / "errors"
    before = measured(pd.read_parquet(out / "trials.parquet").sort_values("trial_id"))
    refused = program("--resume", out, "--models", 7)
    assert refused.returncode == 2
    assert "a resume adds pairs of models, and the run has 4 of each vector" in refused.stderr
    process = start(errors, "--resume", out, "--models", 8, "--concurrency", 1)
    deadline = time.monotonic() + PATIENCE_S
    while not made(out, "references-0-8") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.poll() is None, errors.read_text()
    kill_with_children(process)
    for part in (out / "trials.parquet").iterdir():
        part.unlink()  # as the message on a damaged part says
    done = program("--resume", out, "--concurrency", 1)
    assert done.returncode == 0, done.stderr
    assert made(out, "references-0-8") == 4
    assert before == measured(pd.read_parquet(out / "trials.parquet").sort_values("trial_id"))
    old, new = (load_run(run).crossed for run in (smoke_run, out))
    assert old.keys() == new.keys() == {"baseline-0000", "confirm-0000"}
    for vector, found in new.items():
        inside = found.terms.trained_on
        assert inside.shape == (8, old[vector].terms.trained_on.shape[1])
        assert np.array_equal(inside[:4], old[vector].terms.trained_on)
