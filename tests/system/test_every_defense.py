"""A comparison of defences, one of a plugin among them, killed on the way and resumed."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.system.program import Program, rows
from tests.system.test_interruption import kill_with_children, start, wait_for_rows
from tests.system.test_plugin import README
from trainables.config import FEWEST_MODELS

pytestmark = [pytest.mark.slow, pytest.mark.system]

(DEFENCE,) = [
    block.partition("```")[0]
    for block in README.split("```python\n")
    if "register_defense(" in block.partition("```")[0]
]
DEFENSES = ("none", "early-stopping", "smoothing")


@pytest.mark.timeout(900)
def test_a_comparison_killed_on_the_way_goes_on_with_the_first_unfinished_run(
    program: Program, tmp_path: Path
) -> None:
    plugin, out = tmp_path / "my_defence.py", tmp_path / "all"
    plugin.write_text(DEFENCE)
    words = ("--plugin", plugin, "--defense", ",".join(DEFENSES), "--preset", "smoke")
    budget = ("--trials", 2, "--levels", 0.9, "--out", out)
    process = start(tmp_path / "errors", *words, *budget)
    runs = {name: out / "defences" / name for name in DEFENSES}
    wait_for_rows(process, runs["early-stopping"], 2)  # the baseline's and a trial's
    assert process.poll() is None, (tmp_path / "errors").read_text()
    kill_with_children(process)
    before = {file: file.stat().st_mtime_ns for file in runs["none"].rglob("*") if file.is_file()}
    assert not runs["smoothing"].exists()
    done = program("--resume", out)
    assert done.returncode in (0, 3), done.stderr
    said = (tmp_path / "errors").read_text() + done.stderr
    assert "the same for each of 3 defences: 2 trials" in said
    assert before == {file: file.stat().st_mtime_ns for file in before}, "it had ended"
    assert set(json.loads((out / "config.json").read_text())["ended"]) == set(DEFENSES)
    assert not (out / "dense").exists(), "the dense models are in the runs"
    (dense,) = {
        rows(run, "baseline").drop(columns=["run_id", "started_at"]).to_json()
        for run in runs.values()
    }
    assert '"state":{"0":"COMPLETE"}' in dense
    weights = {
        name: (run / "baseline/model.safetensors").read_bytes() for name, run in runs.items()
    }
    assert len(set(weights.values())) == 1
    for name, run in runs.items():
        confirmed = rows(run, "confirm")
        assert set(confirmed["defense"]) == {name}
        assert (confirmed["training_s"] > 0).all()
        terms = pd.read_parquet(run / "confirm" / "terms.parquet")
        assert (terms.groupby("vector")["half"].nunique() == FEWEST_MODELS).all()
    page = (out / "comparison.html").read_text()
    assert all(name in page for name in DEFENSES)
    assert "not in pairs" not in page
    assert "do not share their dense models" not in page
    assert "smoothing" in done.stdout
    refused = program("--resume", out, "--models", 8)
    assert refused.returncode == 2
    assert "equally many models of every defence" in refused.stderr
    alone = program("--resume", runs["smoothing"])
    assert alone.returncode in (0, 3), alone.stderr
