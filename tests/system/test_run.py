"""The main command end to end on real images: files, columns, samplers, statuses."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from analysis.load import load_run
from tests.documents import everything
from tests.system.program import Program, pasted, rows
from trainables.attacks.registry import ATTACKS
from trainables.records import NETWORKS, TRIAL_SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_the_run_folder_holds_what_is_promised(smoke_run: Path) -> None:
    for name in (
        "config.json",
        "report.html",
        "baseline/model.safetensors",
        "winner/model.safetensors",
        "winner/masks.safetensors",
        "winner/card.md",
    ):
        assert (smoke_run / name).stat().st_size > 0, name
    config = json.loads((smoke_run / "config.json").read_text())
    assert config["split_sizes"] == dict.fromkeys(config["split_sizes"], 1000)
    assert len(set(config["split_hashes"].values())) == 5
    assert 0 < config["dense_val_accuracy"] <= 1


def test_the_dense_accuracy_is_the_mean_of_the_models_of_all_halves(smoke_run: Path) -> None:
    config = json.loads((smoke_run / "config.json").read_text())
    models = sorted((smoke_run / "tune" / "dense").glob("*/checkpoint_*/correct.npz"))
    right = [np.load(model)["validation"].mean() for model in models]
    assert len(right) == 8, "four, and four for the race"
    assert config["dense_val_accuracy"] == pytest.approx(np.mean(right))
    assert config["dense_val_accuracy"] != rows(smoke_run, "baseline")["val_accuracy"].item()


def test_the_tables_have_exactly_the_promised_columns(smoke_run: Path) -> None:
    trials = pd.read_parquet(smoke_run / "trials.parquet")
    assert list(trials.columns) == TRIAL_SCHEMA.names
    assert trials["trial_id"].is_unique
    assert len(rows(smoke_run, "anchor", "search")) == 4
    assert len(rows(smoke_run, "baseline")) == 1
    assert len(rows(smoke_run, "confirm")) == 1
    epochs = pd.read_parquet(smoke_run / "epochs.parquet")
    assert set(epochs["phase"]) == {"dense", "admm", "retrain"}
    assert not epochs.duplicated(["trial_id", "phase", "epoch"]).any()


def test_the_readers_five_lines_give_the_report_s_cross_audit(smoke_run: Path) -> None:
    (snippet,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", everything(), re.DOTALL)
        if "terms.parquet" in block
    ]
    names: dict[str, Any] = {"pd": pd, "np": np}  # the block above has imported them
    exec(snippet.replace("runs/NAME", str(smoke_run)), names)
    found = load_run(smoke_run)
    assert set(found.crossed) == {"baseline-0000", "confirm-0000"}
    for vector, models in found.crossed.items():
        assert models.models == 4
        assert names["excess"][vector] == pytest.approx(models.excess.estimate)
    winner, dense = found.crossed["confirm-0000"], found.crossed["baseline-0000"]
    assert names["less"].to_numpy().mean() == pytest.approx(winner.less_than(dense).estimate)


def test_only_baseline_and_confirm_rows_saw_the_test_images_and_all_attacks(
    smoke_run: Path,
) -> None:
    for _, row in pd.read_parquet(smoke_run / "trials.parquet").iterrows():
        final = row["kind"] in ("baseline", "confirm")
        assert pd.notna(row["test_accuracy"]) == final
        attacks = set(dict(row["attack_gains"]))
        assert attacks == (set(ATTACKS) if final else set(ATTACKS) - NETWORKS)


def test_excess_gain_is_gain_plus_log_four_and_the_divergence_has_an_error(smoke_run: Path) -> None:
    trials = pd.read_parquet(smoke_run / "trials.parquet")
    np.testing.assert_allclose(trials["excess_gain"], trials["attack_gain"] + np.log(4))
    complete = trials[trials["state"] == "COMPLETE"]
    assert (complete["js_divergence_se"] > 0).all()
    assert (complete["js_divergence"] > -4 * complete["js_divergence_se"]).all()


def test_the_winner_has_exactly_n_weights(smoke_run: Path) -> None:
    confirmed = rows(smoke_run, "confirm").iloc[0]
    weights = load_file(smoke_run / "winner/model.safetensors")
    masks = load_file(smoke_run / "winner/masks.safetensors")
    for name, n in zip(confirmed["layer_names"], confirmed["n"], strict=True):
        assert int(masks[name].sum()) == n
        weight = weights[f"{name}.weight"]
        assert int(torch.count_nonzero(weight)) == n
        assert not weight[~masks[name]].any()


def test_compression_is_weights_over_nonzero(smoke_run: Path) -> None:
    for _, row in rows(smoke_run, "anchor", "search", "confirm").iterrows():
        assert row["nonzero"] == sum(row["n"])
        assert row["compression"] == pytest.approx(sum(row["layer_weights"]) / sum(row["n"]))


def test_no_feasible_trial_is_status_3_and_names_the_bound(
    program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = program(
        *("--preset", "smoke", "--no-references", "--trials", 2, "--sampler", "grid"),
        *("--max-accuracy-drop", 0, "--min-compression", 41, "--out", out),
    )
    assert done.returncode == 3, done.stderr
    assert "hardest to meet: " in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / "report.html").exists()
    assert not (out / "winner").exists()


def test_a_finished_run_resumed_on_a_terminal_without_unicode_runs_nothing_again(
    smoke_run: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    before = pd.read_parquet(smoke_run / "trials.parquet").sort_values("trial_id")
    done = program("--resume", smoke_run)
    assert done.returncode == 0, done.stderr
    assert ": 0/" not in done.stderr, "finished stages are shown as finished"
    after = pd.read_parquet(smoke_run / "trials.parquet").sort_values("trial_id")
    assert repr(before.to_dict("records")) == repr(after.to_dict("records"))


def test_the_recorded_command_can_be_pasted(smoke_run: Path) -> None:
    done = pasted(f"{json.loads((smoke_run / 'config.json').read_text())['command']} --dry-run")
    assert done.returncode == 0, done.stderr
    assert "4 trials" in done.stdout


def test_a_dry_run_trains_nothing_and_writes_nothing(program: Program, tmp_path: Path) -> None:
    done = program("--dry-run", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "61,470 prunable weights in 5 layers" in done.stdout
    assert "40 search" in done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--dataset", "cifar11"), "did you mean cifar10?"),
        (("--cpus-per-trial", "6400"), "the cluster has"),
        (("--gpus-per-trial", "2"), "one model uses one GPU"),
        (("--resume", "nowhere"), "there is no such folder"),
        (("--address", "127.0.0.1:1"), "no Ray cluster answers"),
        (("--out", "/proc/nowhere/run"), "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    words: tuple[str, str], says: str, program: Program, tmp_path: Path
) -> None:
    done = program(*words, cwd=tmp_path)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert says in errors[0]
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_folder_that_holds_another_run_is_left_alone(smoke_run: Path, program: Program) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke_run.rglob("*") if path.is_file()}
    done = program("--out", smoke_run, "--preset", "smoke")
    assert done.returncode == 2
    assert "already holds a run" in done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in smoke_run.rglob("*") if p.is_file()}
