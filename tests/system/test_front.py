"""A run that looks at several levels at once: the table, the folders and the report agree."""

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_one_run_gives_a_confirmed_vector_for_each_level(program: Program, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("--preset", "smoke", "--no-race", "--levels", "0,0.3", "--concurrency", 1)
    done = program(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    front = pd.read_parquet(out / "front.parquet")
    assert front["level"].tolist() == [0.0, 0.3, 0.9]
    assert set(front["trial_id"].dropna()) <= set(rows(out, "confirm")["trial_id"])
    assert 1 <= len(rows(out, "confirm")) <= 3
    homes = {0.0: out / "front" / "0", 0.3: out / "front" / "0.3", 0.9: out / "winner"}
    for _, row in front.iterrows():
        home = homes[row["level"]]
        assert home.exists() == pd.notna(row["trial_id"])
        if not home.exists():
            assert row["kept"] == "no"
            continue
        assert row["kept"] in ("yes", "undecided")
        masks = load_file(home / "masks.safetensors")
        assert sum(int(mask.sum()) for mask in masks.values()) == sum(row["n"])
        assert f"of trial {row['trial_id']} of run" in (home / "card.md").read_text()
    assert front["trial_id"].notna().iloc[-1]
    assert "The front: the winner at each allowed drop" in (out / "report.html").read_text()
    assert "accuracy may fall by" in done.stdout
    assert json.loads((out / "config.json").read_text())["search"]["levels"] == [0.0, 0.3]
