"""Runs side by side, and what cannot be compared."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis import compare, comparison_page

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")

RunWriter = Callable[..., Path]


@pytest.fixture
def two(write_run: RunWriter, make: SimpleNamespace) -> list[Path]:
    return [
        write_run(make.full(), name="tpe"),
        write_run(
            [make.dense(), *make.searched()], name="random", settings=make.config(sampler="random")
        ),
    ]


def test_table_and_page_hold_confirmed_figures(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.html"
    assert compare.main([*map(str, two), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[1].startswith("tpe")
    assert "0.0310" in lines[1]
    assert "93.2% (91.4% to 94.6%)" in lines[1]
    assert "no winner" in lines[2]
    assert lines[3] == str(out)
    page = out.read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_unequal_settings_are_said_aloud(write_run: RunWriter, make: SimpleNamespace) -> None:
    paths = [
        write_run(make.full(), name="a"),
        write_run(make.full(), name="b", settings=make.config(trials=80)),
    ]
    _, page = comparison_page.compare(paths)
    assert "The runs differ in the number of trials." in page
    assert "The runs differ in the network." not in page


def test_equal_folder_names_are_told_apart(write_run: RunWriter, make: SimpleNamespace) -> None:
    paths = [write_run(make.full(), name="x/run"), write_run(make.full(), name="y/run")]
    text, _ = comparison_page.compare(paths)
    assert str(paths[0]) in text
    assert str(paths[1]) in text


@pytest.mark.parametrize("case", ["one", "twice", "other data", "no run"])
def test_what_cannot_be_compared_is_one_line(
    case: str,
    two: list[Path],
    write_run: RunWriter,
    make: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = write_run(make.full(), name="cifar", settings=make.config(dataset="cifar10"))
    paths, message = {
        "one": (two[:1], "at least two runs"),
        "twice": ([two[0], two[0]], "given twice"),
        "other data": ([two[0], other], "cifar10, mnist5k"),
        "no run": ([two[0], tmp_path / "nothing"], "not a run folder"),
    }[case]
    out = tmp_path / "c.html"
    assert compare.main([*map(str, paths), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not out.exists()


def test_out_in_a_missing_folder_is_one_line(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([*map(str, two), "--out", str(tmp_path / "no" / "c.html")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_file_of_someone_else_is_not_overwritten(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thesis.html"
    out.write_text("<title>my thesis</title>")
    assert compare.main([*map(str, two), "--out", str(out)]) == 2
    assert "not a page of this program" in capsys.readouterr().err
    assert out.read_text() == "<title>my thesis</title>"


def test_the_defence_and_its_pruner_are_named(write_run: RunWriter, make: SimpleNamespace) -> None:
    runs = [
        write_run(make.full(), name=name, settings=make.config(**search))
        for name, search in {
            "a": {"defense": "pruning", "pruner": "lottery"},
            "b": {"defense": "minmax"},
        }.items()
    ]
    text, _ = comparison_page.compare(runs)
    assert "pruning by lottery" in text
    assert "minmax" in text
