"""How the system tests start the real program, in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import TrialState

from search.record.mirror import opened
from trainables.base.storage import Place, children
from trainables.records import TRIAL_SCHEMA

Program = Callable[..., subprocess.CompletedProcess[str]]


def command(*words: object) -> list[str]:
    """The program with `words`, in this interpreter."""
    return [sys.executable, "-m", "search.run", *map(str, words)]


def environment(*, covered: bool = False) -> dict[str, str]:
    """Of a user's shell; coverage is measured inside the program only where `covered`.

    It costs a run 38 % more processor time: two whole runs reach what all of them would.
    """
    shell = {
        name: value
        for name, value in os.environ.items()
        if covered or not name.startswith("COVERAGE_PROCESS")
    }
    return {**shell, "COLUMNS": "100"}


def pasted(line: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a command that the program printed."""
    return subprocess.run(
        ["bash", "-c", line], env=environment(), capture_output=True, text=True, check=False
    )


def rows(out: Path, *kinds: str) -> pd.DataFrame:
    """Rows of these kinds, by number."""
    trials = pd.read_parquet(out / "trials.parquet")
    return trials[trials["kind"].isin(kinds)].sort_values("number", ignore_index=True)


STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


def assert_study_equals_ledger(url: str, name: str, out: Path) -> None:
    """The mirror at `url` has the trials of the ledger, each once, with their states."""
    with opened(url) as storage:
        trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    mirrored = sorted((trial.user_attrs["trial_id"], trial.state) for trial in trials)
    found = rows(out, "anchor", "search")
    assert mirrored == sorted(
        (row["trial_id"], STATES[row["state"]]) for _, row in found.iterrows()
    )


MEASURED = [
    name
    for name in TRIAL_SCHEMA.names
    if name not in ("run_id", "started_at", "node", "sampler") and not name.endswith("_s")
]


def measured(found: pd.DataFrame) -> str:
    """All of the rows that follows from the seed."""
    return repr(found[MEASURED].to_dict("records"))


def holders(folder: Place, secret: str) -> list[Place]:
    """Files below `folder` that hold `secret`."""
    found: list[Place] = []
    for child in children(folder):
        if child.is_dir():
            found += holders(child, secret)
        elif secret.encode() in child.read_bytes():
            found.append(child)
    return found
