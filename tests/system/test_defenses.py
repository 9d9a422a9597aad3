"""Every --defense through the program, in one comparison that is killed on the way, and resumed."""

import json
import math
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from search.recipes import recipe
from search.space import Candidate
from tests.documents import everything
from tests.system.program import Program, rows
from tests.system.test_interruption import kill_with_children, start, wait_for_rows
from trainables.config import FEWEST_MODELS
from trainables.defenses.recipe import recipe_numbers
from trainables.defenses.registry import DEFENSES

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(1800)]

(OWN_DEFENSE,) = [
    block.partition("```")[0]
    for block in everything().split("```python\n")
    if "register_defense(" in block.partition("```")[0]
]
EVERY = (*DEFENSES, "smoothing")
TRIALS = 2


@pytest.fixture(scope="module")
def compared(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of all defences and one of a plugin."""
    folder = tmp_path_factory.mktemp("defences")
    plugin, out, errors = folder / "my_defence.py", folder / "all", folder / "errors"
    plugin.write_text(OWN_DEFENSE)
    process = start(
        errors,
        *("--plugin", plugin, "--defense", "all", "--preset", "smoke", "--trials", TRIALS),
        *("--space", "recipe+layer", "--levels", 0.99, "--concurrency", 1, "--out", out),
    )
    second = out / "defences" / EVERY[1]
    wait_for_rows(process, second, 2)  # the baseline's and a trial's
    assert process.poll() is None, errors.read_text()
    kill_with_children(process)
    first = out / "defences" / EVERY[0]
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()}
    done: subprocess.CompletedProcess[str] = program("--resume", out, "--concurrency", 1)
    (folder / "said").write_text(errors.read_text() + done.stderr)
    (folder / "shown").write_text(done.stdout)
    assert done.returncode == 0, done.stderr
    assert before == {file: file.stat().st_mtime_ns for file in before}, "it had ended"
    return out


def test_the_dense_models_are_made_once_and_stand_in_every_run(compared: Path) -> None:
    said = (compared.parent / "said").read_text()
    assert f"the same for each of {len(EVERY)} defences: {TRIALS} trials" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert set(json.loads((compared / "config.json").read_text())["ended"]) == set(EVERY)
    assert not (compared / "dense").exists(), "they are in the runs"
    runs = [compared / "defences" / name for name in EVERY]
    (dense,) = {
        rows(run, "baseline").drop(columns=["run_id", "started_at"]).to_json() for run in runs
    }
    assert '"state":{"0":"COMPLETE"}' in dense
    assert len({(run / "baseline/model.safetensors").read_bytes() for run in runs}) == 1


def test_the_page_and_the_terminal_name_all_and_compare_in_pairs(compared: Path) -> None:
    page = (compared / "comparison.html").read_text()
    assert all(name in page for name in EVERY)
    assert "not in pairs" not in page
    assert "do not share their dense models" not in page
    assert all(name in (compared.parent / "shown").read_text() for name in EVERY)


def chooses(defense: str) -> bool:
    """Whether there is anything to search with a recipe of one epoch."""
    if defense not in DEFENSES:
        return True
    numbers = DEFENSES[defense].numbers(recipe_epochs=1).values()
    return DEFENSES[defense].prunes or any(number.searched for number in numbers)


@pytest.mark.parametrize("defense", EVERY)
def test_a_defence_runs_through(defense: str, compared: Path) -> None:
    out = compared / "defences" / defense
    assert (out / "report.html").exists()
    assert (out / "winner/model.safetensors").exists()
    searched = rows(out, "anchor", "search").to_dict("records")
    confirmed = rows(out, "confirm").to_dict("records")
    tried = {Candidate.of(row["n"], dict(row["defense_parameters"] or {})) for row in searched}
    assert len(tried) == len(searched) == (TRIALS if chooses(defense) else 1)
    assert confirmed
    for row in (*searched, *confirmed):
        assert row["state"] == "COMPLETE", row["error"]
        assert row["defense"] == defense
        assert row["feasible"]
        assert row["training_s"] > 0 or defense == "memguard"
        assert 0 <= row["val_accuracy"] <= 1
        assert row["excess_gain"] == pytest.approx(row["attack_gain"] + math.log(4))
        assert row["compression"] == pytest.approx(sum(row["layer_weights"]) / row["nonzero"])
    assert searched[0]["test_accuracy"] is None or math.isnan(searched[0]["test_accuracy"])
    assert 0 <= confirmed[0]["test_accuracy"] <= 1
    terms = pd.read_parquet(out / "confirm" / "terms.parquet")
    assert (terms.groupby("vector")["half"].nunique() == FEWEST_MODELS).all()


@pytest.mark.parametrize("defense", DEFENSES)
def test_its_numbers_are_searched_within_their_ranges_and_what_it_spent_is_recorded(
    defense: str, compared: Path
) -> None:
    numbers = DEFENSES[defense].numbers(recipe_epochs=1)
    if DEFENSES[defense].prunes:
        numbers |= recipe_numbers(recipe("mnist5k", "lenet5").admm)
    for _, row in rows(compared / "defences" / defense, "anchor", "search", "confirm").iterrows():
        parameters = dict(row["defense_parameters"] or {})
        assert set(parameters) == set(numbers)
        for name, value in parameters.items():
            assert numbers[name].low <= value <= numbers[name].high
        spent = dict(row["defense_spent"] or {})
        if defense == "dp":
            assert 0 < spent["epsilon"] <= parameters["epsilon"]
        elif defense == "memguard":
            assert spent.keys() == {"distortion"}
            assert 0 <= spent["distortion"] <= 2
        else:
            assert spent == {}


def test_a_comparison_takes_no_more_models_and_its_runs_are_runs(
    compared: Path, program: Program
) -> None:
    refused = program("--resume", compared, "--models", 8)
    assert refused.returncode == 2
    assert "equally many models of every defence" in refused.stderr
    alone = program("--resume", compared / "defences" / "smoothing")
    assert alone.returncode == 0, alone.stderr


def test_a_defence_that_cannot_keep_the_accuracy_is_status_3(
    program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = program(
        *("--preset", "smoke", "--no-references", "--concurrency", 1, "--confirm-top", 1),
        *("--max-accuracy-drop", 0, "--trials", 1, "--sampler", "random"),
        *("--defense", "dp", "--epsilon", 0.5, "--out", out),
    )
    assert done.returncode == 3, done.stderr
    assert "hardest to meet: accuracy" in done.stderr
    assert "Traceback" not in done.stderr
    (searched,) = rows(out, "anchor", "search").to_dict("records")
    assert searched["state"] == "COMPLETE"
    assert not searched["feasible"]
