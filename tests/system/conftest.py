"""Runs of the real program in processes of their own."""

import fcntl
import subprocess
from pathlib import Path

import pytest

from tests.system.program import Program, command, environment


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Run the program to its end in an empty folder; returns what it printed and its status."""
    home = tmp_path_factory.mktemp("shell")

    def run(
        *words: object, cwd: Path = home, covered: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            cwd=cwd,
            env=environment(covered=covered),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def smoke_run(program: Program, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of one whole run on real MNIST images with budgets of seconds.

    All processes of the tests share it; whoever asks first makes it, and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    out = (base if worker_id == "master" else base.parent) / "smoke-run" / "smoke"
    out.parent.mkdir(exist_ok=True)
    with (out.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out.parent / "finished").exists():
            done = program("--preset", "smoke", "--out", out, covered=True)
            assert done.returncode == 0, done.stderr
            (out.parent / "finished").touch()
    return out
