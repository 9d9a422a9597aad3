"""`python -m search.measure`: outputs in a file, figures on the terminal, one line for errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search import measure, measured
from tests.test_audit import images


def table(folder: Path, **changes: object) -> Path:
    logits, labels, is_member = images(150, 150, 3.0)
    frame = pd.DataFrame(logits).add_prefix("class").assign(label=labels, is_member=is_member)
    frame.assign(**changes).to_csv(folder / "outputs.csv", index=False)
    return folder / "outputs.csv"


def test_a_csv_is_measured_and_a_card_written(tmp_path: Path, capsys) -> None:
    out = tmp_path / "measured"
    assert measure.main([str(table(tmp_path)), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The outputs tell members from non-members: excess gain ")
    assert "no references" in said
    assert measured.WITHOUT in said
    figures = json.loads((out / measured.RESULT).read_text())
    assert figures["on_members"]["images"] == 150
    excess = f"{figures['leakage']['excess_gain']:.4f} nats"
    assert excess in (out / measured.CARD).read_text()
    page = (out / measured.PAGE).read_text()
    assert excess in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http-equiv", "")
    scores = pd.read_parquet(out / measured.SCORES)
    assert scores.columns.tolist() == ["position", "label", "is_member", "probability"]
    assert len(scores) == 300


def test_parquet_and_npz_with_the_same_outputs_give_the_same_figures(
    tmp_path: Path, capsys
) -> None:
    frame = pd.read_csv(table(tmp_path))
    frame.to_parquet(tmp_path / "outputs.parquet")
    arrays = frame.drop(columns=["label", "is_member"]).to_numpy()
    np.savez(
        tmp_path / "outputs.npz",
        outputs=arrays,
        labels=frame["label"],
        is_member=frame["is_member"],
    )
    said = []
    for kind in ("csv", "parquet", "npz"):
        assert measure.main([str(tmp_path / f"outputs.{kind}")]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]


def test_a_csv_with_its_index_is_refused(tmp_path: Path, capsys) -> None:
    pd.read_csv(table(tmp_path)).to_csv(tmp_path / "indexed.csv")
    assert measure.main([str(tmp_path / "indexed.csv")]) == 2
    assert "index=False" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys) -> None:
    path = table(tmp_path)
    assert measure.main([str(path), "--out", str(path / "below")]) == 2
    said = capsys.readouterr().err
    assert "below cannot be written: Not a directory" in said
    assert said.count("\n") == 1


def test_references_come_from_an_npz(tmp_path: Path, capsys) -> None:
    logits, _, _ = images(150, 150, 3.0)
    inside = np.arange(4)[:, None] % 2 == np.arange(300)[None] % 2
    np.savez(tmp_path / "references.npz", outputs=np.stack([logits] * 4), trained_on=inside)
    words = [str(table(tmp_path)), "--references", str(tmp_path / "references.npz")]
    assert measure.main(words) == 0
    said = capsys.readouterr().out
    assert "4 reference models" in said
    assert "adaptive" in said
    assert measured.WITHOUT not in said


@pytest.mark.parametrize(
    ("changes", "words", "says"),
    [
        ({"label": 9}, [], "count classes from 0"),
        ({"is_member": 2}, [], "true or false"),
        ({"class0": "a"}, [], "column class0 is not numeric"),
        ({}, ["--seed", "-1"], "--seed must be 0 or more"),
        ({}, ["--references", "none.npz"], "none.npz cannot be read"),
        ({}, ["--out", "."], "exists: choose a new folder"),
        ({}, ["--members", "m.txt"], "--members need --dense FILE"),
        ({}, ["--dense", "net.pt"], "not both"),
        ({"label": 0.5}, [], "a regression is not audited"),
        ({"class0": 0.5, "class1": 0.5, "class2": 0.5, "class3": 0.5}, [], "several labels for"),
        ({"is_member": 0}, [], "0 members and 300 non-members are too few"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys, changes, words, says) -> None:
    assert measure.main([str(table(tmp_path, **changes)), *words]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("outputs.txt", "", "is no .csv, .parquet or .npz file"),
        ("outputs.csv", "", "cannot be read"),
        ("outputs.csv", "a,b\n1,2\n", "has no column label and no is_member"),
        ("outputs.npz", "no zip", "cannot be read"),
        ("outputs.parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_file_without_outputs_is_one_line(tmp_path: Path, capsys, name, text, says) -> None:
    (tmp_path / name).write_text(text)
    assert measure.main([str(tmp_path / name)]) == 2
    assert says in capsys.readouterr().err


def test_help_and_mistakes_are_quick() -> None:
    code = (
        "import sys, search.measure as m\n"
        "try:\n    m.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'sklearn', 'pandas', 'ray'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
