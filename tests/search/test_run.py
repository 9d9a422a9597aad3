"""How a run ends: its status and its last words, by what its stages wrote. No Ray."""

import contextlib
import dataclasses
import datetime
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import pipeline, run
from search.context import Context
from search.record.trials_parquet import Ledger
from search.stages.dense import Dense
from search.tune.required import StageFailed
from trainables.records import TrialRecord

Stages = Callable[[list[TrialRecord]], None]
LAYERS = (150, 2400, 48000, 10080, 840)


def record(kind: str, number: int, **changes: Any) -> TrialRecord:
    """A complete trial that misses its accuracy bound."""
    gains = {"constant": -1.386, "thresholds": -1.37}
    values: dict[str, Any] = {
        "run_id": "r", "trial_id": f"{kind}-{number:04d}", "number": number, "kind": kind,
        "state": "COMPLETE", "feasible": False, "seed": 0, "dataset": "mnist5k",
        "model": "lenet5", "defense": "pruning", "sampler": "tpe",
        "started_at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "duration_s": 1.0,
        "node": "here", "device": "cpu", "layer_names": ["a", "b", "c", "d", "e"],
        "layer_weights": list(LAYERS), "n": list(LAYERS), "nonzero": sum(LAYERS),
        "weights": sum(LAYERS), "compression": 1.0, "flops_ratio": 1.0, "train_accuracy": 0.9,
        "val_accuracy": 0.8, "test_accuracy": 0.8 if kind == "baseline" else None,
        "attack_gain": -1.37, "attack_gain_se": 0.01, "excess_gain": 0.016, "js_divergence": 0.01,
        "attack_accuracy": 0.5, "attack_auc": 0.5, "tpr_at_1pct_fpr": 0.01,
        "tpr_at_01pct_fpr": 0.001, "strongest_attack": "thresholds", "attack_gains": gains,
        "accuracy_violation": 0.1, "epochs": 1, "images_seen": 1000,
    }  # fmt: skip
    return TrialRecord(**{**values, **changes})


def failed(number: int, error: str) -> TrialRecord:
    names = [
        *("excess_gain", "attack_gain", "attack_gain_se", "attack_accuracy", "attack_gains"),
        *("strongest_attack", "compression", "nonzero", "val_accuracy", "accuracy_violation"),
    ]
    nothing = dict.fromkeys(names)
    return dataclasses.replace(record("search", number), state="FAILED", error=error, **nothing)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, mnist5k_read_once: None) -> Stages:
    """Have the search write these rows, or raise; nothing is trained and nothing confirmed."""

    @contextlib.contextmanager
    def cluster(_address: str, *_: object) -> Iterator[list[dict[str, float]]]:
        yield [{"CPU": 2.0}]

    def train_dense(context: Context) -> Dense:
        Ledger(context.folder.path).write(record("baseline", 0, val_accuracy=0.9))
        nothing: Any = None
        return Dense(
            shared=nothing,
            val_accuracy=0.9,
            accuracies=np.array([0.9]),
            row={"val_accuracy": 0.9},
            results=[],
        )

    def set_up(rows: list[TrialRecord]) -> None:
        def search(context: Context, _dense: Any) -> None:
            for row in rows:
                Ledger(context.folder.path).write(row)
            if not rows:
                raise KeyboardInterrupt

        monkeypatch.setattr(pipeline, "search", search)

    monkeypatch.setattr(pipeline, "cluster", cluster)
    monkeypatch.setattr(pipeline.signal, "signal", lambda *_: None)
    monkeypatch.setattr(pipeline, "train_dense", train_dense)
    monkeypatch.setattr(pipeline, "confirm", lambda *_: {})
    return set_up


def ends(out: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run.main(["--out", str(out), "--models", "4", "--quiet"])
    return status, capfd.readouterr().err


@pytest.fixture
def asked(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The models for which the dense stage was asked, in a run that is never decided."""
    models: list[int] = []
    stub = pipeline.train_dense

    def train_dense(context: Context) -> Dense:
        models.append(context.config.models_each)
        return stub(context)

    monkeypatch.setattr(pipeline, "train_dense", train_dense)
    monkeypatch.setattr(pipeline, "_may_be_decided", lambda _folder: True)
    stages([record("search", number) for number in range(4)])
    return models


def taken(out: Path) -> list[int]:
    found: list[int] = json.loads((out / "config.json").read_text())["search"]["more_models"]
    return found


def test_a_run_that_is_left_undecided_doubles_its_models_once(
    asked: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    ends(out, capfd)
    assert asked == [4, 8]
    assert taken(out) == [8]
    run.main(["--resume", str(out), "--quiet"])
    assert asked == [4, 8, 8], "a resume begins with all of them and takes no more"
    assert taken(out) == [8]


def test_where_more_models_cannot_be_made_the_first_decision_stands(
    asked: list[int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = pipeline.train_dense

    def fails(context: Context) -> Dense:
        if context.config.models_each == 8:
            raise StageFailed("a dense model failed: the training loss became nan")
        return made(context)

    monkeypatch.setattr(pipeline, "train_dense", fails)
    out = tmp_path / "run"
    status, _ = ends(out, capfd)
    assert status == 3, "by what the first models decided"
    assert asked == [4, 4]
    assert taken(out) == []
    assert "so 4 models decide: a dense model failed" in (out / "run.log").read_text()


def test_a_run_whose_trials_failed_ends_as_a_fault_with_their_reason(
    stages: Stages, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [f"RuntimeError: layer fc{number} has no gradient" for number in range(3)]
    stages([record("search", 9), *map(failed, range(4), [*words, "OSError: no room"])])
    status, said = ends(tmp_path / "run", capfd)
    assert status == 1
    assert (
        "4 of 5 trials failed, 3 of them with: RuntimeError: layer fc0 has no gradient. Of the "
        "others, 1 missed a bound. Report: " in said
    )
    assert "--max-accuracy-drop" not in said
    assert "feasible" not in said
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "4 of 5 trials failed" in page


def test_where_bounds_decided_that_is_said_and_the_failed_beside_it(
    stages: Stages, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stages([record("search", 0), record("search", 1), failed(2, "ValueError: this one")])
    status, said = ends(tmp_path / "run", capfd)
    assert status == 3
    assert said.startswith(
        "No trial was feasible. The bound hardest to meet: accuracy (missed by 100% of 2 searched "
        "trials). 1 of 3 trials failed, with: ValueError: this one. Allow a larger "
        "--max-accuracy-drop"
    )


@pytest.mark.slow
def test_what_is_said_of_an_interruption_can_be_pasted(
    stages: Stages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """By a shell, from where it was said, in a folder whose name needs quotes."""
    monkeypatch.chdir(tmp_path)
    stages([])
    out = tmp_path / "a run; of mine"
    status, said = ends(out, capfd)
    assert status == 130
    command = said.strip().partition("Continue with: ")[2]
    assert str(tmp_path) not in command  # short: below the working directory
    python, *words = shlex.split(command)
    assert words == ["-m", "search.run", "--resume", "a run; of mine"]
    (out / "config.json").unlink()  # it is then refused before anything is started
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "a run; of mine is not a run" in done.stderr
    assert Path(python).exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("layer"), "fault: KeyError: 'layer'; the log is"),
        (RuntimeError("in words\n of two lines"), "fault: in words of two lines; the log is"),
        (AssertionError(), "fault: AssertionError; the log is"),
    ],
)
def test_a_fault_says_its_cause(
    error: Exception,
    said: str,
    stages: Stages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "train_dense", fails)
    status, told = ends(tmp_path / "run", capfd)
    assert status == 1
    assert said in told
    assert "Traceback" not in told
