"""The README's example of a network and data of one's own, run as the README says."""

import json
import re
from pathlib import Path

import pytest

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(import torch\n.*?)^```", README, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"-m search.run (--plugin .*)", README)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_model.py").write_text(EXAMPLE)
    return folder


@pytest.fixture(scope="module")
def run(program: Program, folder: Path) -> Path:
    done = program(*COMMAND.split(), "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_example_of_the_readme_runs_on_workers(run: Path) -> None:
    confirmed = rows(run, "confirm")
    assert set(confirmed["dataset"]) == set(confirmed["model"]) == {"mine"}
    assert (confirmed["nonzero"] == confirmed["n"].map(sum)).all()
    assert json.loads((run / "config.json").read_text())["search"]["plugin"]


def test_a_finished_run_is_resumed_with_the_same_file_only(
    run: Path, folder: Path, program: Program
) -> None:
    done = program("--resume", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "my_model.py").write_text(EXAMPLE + "# changed\n")
    done = program("--resume", "run", cwd=folder)
    assert done.returncode == 2
    assert "has changed since the run began" in done.stderr
    (folder / "my_model.py").unlink()
    done = program("--resume", "run", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_a_broken_file_ends_with_status_2(program: Program, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text("1 / 0")
    done = program("--plugin", "my_model.py", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "ZeroDivisionError" in line
    assert "Traceback" not in done.stderr
