"""`python -m search.export`: what it refuses, in one line and before anything is written."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import export
from tests.analysis.conftest import *  # noqa: F403 - run folders, as analysis's own tests make them

RunWriter = Callable[..., Path]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert export.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: Any) -> None:
    assert "is not a run folder" in refused([str(tmp_path), "--format", "onnx"], capsys)
    assert "is not a run folder" in refused([str(tmp_path / "no"), "--format", "onnx"], capsys)
    assert files(tmp_path) == []


def test_words_that_make_no_sense_are_refused(capsys: Any) -> None:
    assert "--format" in refused(["run"], capsys)
    assert "'pickle'" in refused(["run", "--format", "pickle"], capsys)
    assert "--level" in refused(["run", "--format", "onnx", "--level", "1%"], capsys)


@pytest.fixture
def run(write_run: RunWriter, make: SimpleNamespace) -> Path:
    """A run whose only confirmed vector keeps its bound of 1 point, and not half a point."""
    records = [make.dense(), *make.searched(), *make.confirm()[3:6]]
    return write_run(records, settings=make.config(levels=[0.0, 0.005]))


@pytest.mark.parametrize(
    ("level", "says"),
    [
        ("0", "--level 0: no vector was confirmed at it"),
        ("0.02", "--level 0.02: the run has no such one"),
        ("nan", "--level nan: the run has no such one"),
    ],
)
def test_a_level_that_was_not_confirmed_is_refused(
    run: Path, level: str, says: str, capsys: Any
) -> None:
    before = files(run)
    said = refused([str(run), "--format", "sparse", "--level", level], capsys)
    assert says in said
    assert said.rstrip().endswith("has 0.01")
    assert files(run) == before


def test_a_run_without_a_winner_or_its_weights_is_refused(
    run: Path, write_run: RunWriter, make: SimpleNamespace, capsys: Any
) -> None:
    assert "has not come to its end" in refused([str(run), "--format", "onnx"], capsys)
    bare = write_run([make.dense(), *make.searched()], name="bare")
    before = files(bare)
    assert "has no confirmed winner" in refused([str(bare), "--format", "onnx"], capsys)
    assert files(bare) == before
