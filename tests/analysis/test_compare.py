"""Runs side by side, and what cannot be compared."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy import stats

from analysis import compare, comparison_page
from analysis.load import load_run
from analysis.statistics import Interval, difference
from analysis.winners_in_pairs import p_value
from tests.analysis.test_cross_audit import HALVES, IMAGES, MODELS
from tests.analysis.test_cross_audit import write as cross_audited
from trainables.data.cohort import reference_halves

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


def paired_runs(write_run: RunWriter, make: SimpleNamespace, *, halves_of: int = 0) -> list[Path]:
    """Two runs whose winners were cross-audited; the second leaks more and is less accurate."""
    runs = []
    for name, knows, accuracy in (("first", 0.55, 0.95), ("second", 0.60, 0.945)):
        folder = write_run(make.full(), name=name)
        halves = HALVES if name == "first" else reference_halves(IMAGES, MODELS, 3 + halves_of)
        cross_audited(folder, "baseline-0000", knows=0.7, accuracy=0.95, halves=halves)
        cross_audited(folder, "confirm-0003", knows=knows, accuracy=accuracy, halves=halves)
        runs.append(folder)
    return runs


def compared(runs: list[Path], form: str) -> str:
    return comparison_page.compare(runs, form)[0]


def test_winners_of_the_same_halves_are_compared_in_pairs(write_run, make) -> None:
    runs = paired_runs(write_run, make)
    found = json.loads(compared(runs, "json"))
    (pair,) = found["pairs"]
    assert (pair["first"], pair["other"], pair["in_pairs"]) == ("first", "second", True)
    first, second = (load_run(run).crossed["confirm-0003"] for run in runs)
    gap = second.less_than(first)
    assert pair["excess_gain"]["estimate"] == pytest.approx(gap.estimate)
    assert pair["excess_gain"]["low"] == pytest.approx(gap.low)
    assert gap.low > 0
    assert pair["excess_gain"]["p"] < 0.05
    assert pair["test_accuracy"]["estimate"] < 0
    assert [run["winner"]["trial_id"] for run in found["runs"]] == ["confirm-0003"] * 2
    text, markdown = compared(runs, "text"), compared(runs, "markdown")
    assert "second  in pairs" in text
    assert "| second | in pairs |" in markdown
    assert f"{gap.estimate:+.4f}" in text


def test_winners_of_other_halves_are_not_in_pairs(write_run, make) -> None:
    (pair,) = json.loads(compared(paired_runs(write_run, make, halves_of=1), "json"))["pairs"]
    assert not pair["in_pairs"]
    assert pair["excess_gain"]["low"] < pair["excess_gain"]["estimate"]


def test_without_winners_there_are_no_pairs_and_json_is_strict(two: list[Path], capsys) -> None:
    found = json.loads(compared(two[::-1], "json"))
    assert found["pairs"] == []
    assert found["runs"][0]["winner"] is None
    assert compare.main([*map(str, two), "--format", "json", "--out", str(two[0] / "c.html")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["runs"]
    assert said.err == f"{two[0] / 'c.html'}\n"


@pytest.mark.parametrize("degrees", [3.0, 20.0, math.inf])
def test_the_test_is_the_one_behind_the_interval(degrees: float) -> None:
    reach = float(stats.t.ppf(0.975, degrees))
    one = Interval(
        estimate=reach,
        low=0.0,
        high=2 * reach,
        standard_error=1.0,
        degrees_of_freedom=degrees,
    )
    assert p_value(one) == pytest.approx(0.05)
    assert p_value(dataclasses.replace(one, estimate=0.0)) == pytest.approx(1)


def test_of_winners_not_in_pairs_the_test_agrees_with_the_interval_too() -> None:
    one, other = (
        Interval(
            estimate=value,
            low=value - 0.008 * float(stats.t.ppf(0.975, 3)),
            high=value + 0.008 * float(stats.t.ppf(0.975, 3)),
            standard_error=0.008,
            degrees_of_freedom=3.0,
        )
        for value in (0.06, 0.03)
    )
    gap = difference(one, other)
    assert gap.low < 0 < gap.high
    assert p_value(gap) > 0.05
