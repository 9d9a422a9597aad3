"""What `make` says of a Python that is not the one asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


def executable(path: Path, lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def install(tmp_path: Path):
    """`make install` with an environment that is there and whose Python says this version."""

    def run(version: str, *words: str) -> subprocess.CompletedProcess[str]:
        executable(tmp_path / "env" / "bin" / "python", f"echo {version}")
        (tmp_path / "env" / ".installed").touch()
        return subprocess.run(
            ["make", "-s", "install", f"VENV={tmp_path / 'env'}", *words],
            cwd=HOUSE,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_an_environment_of_the_python_that_is_asked_for_is_used(install) -> None:
    done = install(OURS, f"PYTHON={sys.executable}")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_environment_of_another_python_is_not_used_without_a_word(install) -> None:
    done = install("3.9", f"PYTHON={sys.executable}")
    assert done.returncode == 2
    assert f"has Python 3.9, not {OURS}: make clean, or make VENV=.venv-{OURS}" in done.stderr


def test_without_a_wish_any_environment_that_is_there_is_used(install) -> None:
    assert install("3.9").returncode == 0


@pytest.mark.parametrize("python", ["exit 1", "echo no such command >&2; exit 127"])
def test_a_python_that_does_not_run_is_named(python, tmp_path) -> None:
    path = executable(tmp_path / "python", python)
    done = subprocess.run(
        ["make", "-s", "install", f"PYTHON={path}", f"VENV={tmp_path / 'new'}"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{path} is older or does not run" in done.stderr
    assert not (tmp_path / "new").exists()
