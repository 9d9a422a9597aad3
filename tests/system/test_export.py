"""A whole run's winner in every form, used as a stranger would: without this project."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from search.shipped import read_forms
from tests.system.program import environment

pytestmark = [pytest.mark.slow, pytest.mark.system]


def export(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "search.export", *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has NumPy and zstandard, and nothing of ours."""
    home = tmp_path_factory.mktemp("stranger") / "venv"
    venv.create(home, with_pip=False)
    here = Path(sysconfig.get_path("purelib"))
    there = next(home.glob("lib/python*/site-packages"))
    for package in ("numpy", "numpy.libs", "zstandard"):
        if (here / package).exists():
            (there / package).symlink_to(here / package)
    return home / "bin" / "python"


def snippet(card: str, word: str) -> str:
    """The card's code that holds `word`."""
    blocks = [part.partition("```")[0] for part in card.split("```python\n")[1:]]
    (found,) = [block for block in blocks if word in block]
    return found


def test_the_cards_snippet_reads_the_sparse_file_without_this_project(
    smoke_run: Path, stranger: Path, tmp_path: Path
) -> None:
    winner = smoke_run / "winner"
    code = snippet((winner / "card.md").read_text(), "load_sparse")
    script = f"{code}\nnp.savez({str(tmp_path / 'read.npz')!r}, **weights)\n"
    done = subprocess.run(
        [stranger, "-c", script],
        cwd=winner,
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    known, read = load_file(winner / "model.safetensors"), dict(np.load(tmp_path / "read.npz"))
    assert read.keys() == known.keys()
    for name, weight in known.items():
        step = np.abs(weight).max() / 127 / 2 + 1e-6
        assert np.abs(read[name] - weight).max() <= step
        assert not read[name][weight == 0].any()
    absent = subprocess.run(
        [stranger, "-c", "import trainables"],
        cwd=winner,
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'trainables'" in absent.stderr


def test_the_cards_snippet_runs_the_onnx_file(smoke_run: Path) -> None:
    code = snippet((smoke_run / "winner" / "card.md").read_text(), "onnxruntime")
    images = "import numpy as np\nimages = np.zeros((3, 1, 28, 28), np.float32)\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{images}{code}\nprint(logits.shape)"],
        cwd=smoke_run / "winner",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "(3, 10)\n", done.stderr


def test_a_run_ends_with_every_form_measured(smoke_run: Path) -> None:
    forms = read_forms(smoke_run / "winner")
    assert forms is not None
    own, onnx, *_ = forms["forms"]
    assert own["references"] == 2  # those that its confirmation learned from
    assert onnx["other_classes"] == 0
    metadata = (smoke_run / "winner" / "card.md").read_text().split("---\n")[1]
    assert yaml.safe_load(metadata)["model-index"]


@pytest.fixture
def own_run(smoke_run: Path, tmp_path: Path) -> Path:
    """A copy, which may be written."""
    return Path(shutil.copytree(smoke_run, tmp_path / "run"))


def test_the_torch_file_is_written_when_it_is_asked_for(own_run: Path) -> None:
    done = export(own_run, "--format", "torch")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    code = snippet((own_run / "winner" / "card.md").read_text(), "model.pt2")
    images = "import torch\nimages = torch.zeros(1, 1, 28, 28)\n"
    answered = subprocess.run(
        [sys.executable, "-c", f"{images}{code}\nprint(tuple(logits.shape))"],
        cwd=own_run / "winner",
        capture_output=True,
        text=True,
        check=False,
    )
    assert answered.stdout == "(1, 10)\n", answered.stderr


@pytest.mark.parametrize("form", ["onnx", "sparse"])
def test_the_command_writes_a_form_again(own_run: Path, form: str) -> None:
    winner = own_run / "winner"
    name = {"onnx": "model.onnx", "sparse": "model.sparse.zst"}[form]
    before = (winner / name).read_bytes(), read_forms(winner), (winner / "card.md").read_text()
    (winner / name).unlink()
    done = export(own_run, "--format", form)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert name in done.stdout.splitlines()[0]
    assert "excess gain" in done.stdout
    if form == "sparse":  # torch numbers what it exports differently each time
        assert (winner / name).read_bytes() == before[0]
    found = read_forms(winner)
    assert found is not None
    assert sorted(one["file"] for one in found["forms"]) == sorted(
        one["file"] for one in (before[1] or {})["forms"]
    )
    assert sorted((winner / "card.md").read_text().splitlines()) == sorted(before[2].splitlines())


def test_a_level_that_was_not_confirmed_writes_nothing(own_run: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in own_run.rglob("*")}
    done = export(own_run, "--format", "sparse", "--level", "0.01")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --level 0.01: ")
    assert done.stderr.count("\n") == 1
    assert {file: file.stat().st_mtime_ns for file in own_run.rglob("*")} == before
