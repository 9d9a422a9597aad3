"""Commands that the program prints are those that a shell understands."""

import shlex
import sys
from pathlib import Path

import pytest

from trainables.base.commandline import program, resume, shown


def test_an_interpreter_below_the_working_directory_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(tmp_path)
    assert resume(tmp_path / "runs" / "a") == ".venv/bin/python -m search.run --resume runs/a"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(tmp_path / "runs" / "a").split()[0] == str(python)
    assert resume(tmp_path / "runs" / "a").split()[-1] == str(tmp_path / "runs" / "a")


def test_from_the_root_nothing_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert shown("/shared/run") == "/shared/run"


@pytest.mark.parametrize("word", ["a b", "$HOME", "it's", "x;y", "*", "s3://bucket/a run"])
def test_every_word_reaches_the_program_as_it_is(word: str) -> None:
    assert shlex.split(program("search.run", "--out", word))[1:] == [
        "-m", "search.run", "--out", word,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["s3://bucket/run", "relative/run", "/elsewhere/run", "8.5", ""])
def test_what_does_not_lie_below_stays_as_it_is(text: str) -> None:
    assert shown(text) == text
