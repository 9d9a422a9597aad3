"""What a trial's last report becomes: its row, and why it has no figures."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest

from search.recipes import recipe
from search.record import mirror as module
from search.record.trials_parquet import Ledger
from search.space import Space
from search.tune.cause import NOT_SAID, OUT_OF_MEMORY, PROCESS_ENDED, cause
from search.tune.recorder import Recorder, RunIdentity, to_record
from search.tune.searcher import _judge_row
from search.tune.stopping import InfeasibleStopper
from trainables.config import TrialConfig
from trainables.job import Job
from trainables.outcome.objective import Goal
from trainables.records import PRUNED, TRIAL_SCHEMA, to_table
from trainables.trial import known_result

IDENTITY = RunIdentity(run_id="run", sampler="tpe", layer_names=("fc",), layer_weights=(100,))
CONFIG = recipe("mnist5k", "lenet5")
JOB = Job(
    trial=TrialConfig(
        kind="search",
        number=3,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=(10,),
        training=CONFIG.training,
        admm=CONFIG.admm,
        attack=CONFIG.attack,
    )
)
STOPPED = {
    "phase": "retrain",
    "progress": 0.5,
    "val_accuracy": 0.71,
    "accuracy_bound": 0.87,
    "accuracy_violation": 0.16,
    "compression_violation": None,
    "finished": False,
    "started_at": "2026-01-01T00:00:00+00:00",
    "epochs": 4,
}
"""The last report of a trial that the stopper ended."""


def row_of(result: dict[str, Any], error: str | None = None) -> dict[str, Any]:
    table = to_table([to_record(IDENTITY, JOB, result, error)], TRIAL_SCHEMA)
    (row,) = table.to_pylist(maps_as_pydicts="strict")
    return dict(row)


@pytest.mark.parametrize(
    ("progress", "when"), [(0.5, "halfway through"), (0.75, "after 75% of"), (1.0, "after 100% of")]
)
def test_a_stopped_trial_says_which_bound_stopped_it(progress: float, when: str) -> None:
    result = {**STOPPED, "progress": progress}
    assert InfeasibleStopper()("trial", result)
    row = row_of(result)
    assert (row["state"], row["feasible"]) == (PRUNED, False)
    assert row["error"] == (
        f"stopped: validation accuracy 0.710 is 0.160 below its bound 0.870 {when} the retraining"
    )


def test_a_stopped_trial_is_none_that_failed_to_whoever_reads_its_row() -> None:
    """The search's study, and a resumed run, which answers with the row instead of the trial."""
    row = row_of(STOPPED)
    assert _judge_row(row, Goal(units={"accuracy_violation": 0.01})).state.name == "PRUNED"
    assert row_of(known_result(row)) == row


def test_a_stopped_row_of_an_earlier_release_stays_without_a_reason() -> None:
    row = {**row_of(STOPPED), "error": None}
    assert row_of(known_result(row))["error"] is None


@pytest.mark.parametrize("ending", ["complete", "stopped", "failed", "told"])
def test_the_count_of_all_parameters_is_kept_however_a_trial_ends(ending: str) -> None:
    result = {**STOPPED, "parameters": 123, "finished": ending == "complete"}
    if ending == "told":
        result["trial_error"] = "the training loss became nan"
    assert row_of(result, "it died" if ending == "failed" else None)["parameters"] == 123
    assert row_of({}, "died before its first report")["parameters"] is None


def test_a_reason_is_told_whole_and_rays_pages_in_words() -> None:
    frames = '  File "x.py", line 1, in f\n    f()\n'
    text = f"ray::Trial.train() (pid=7, ip=1.2.3.4)\n{frames}ValueError: a\n b"
    assert cause(text) == "ValueError: a b"
    assert cause(RuntimeError("The actor died unexpectedly before it ended")) == PROCESS_ENDED
    assert cause("Task was killed since the node was running low on memory") == OUT_OF_MEMORY
    assert cause(KeyError()) == "KeyError"
    assert cause(None) == NOT_SAID


def test_what_ends_is_in_the_ledger_at_once_and_in_the_mirror_when_the_stage_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    monkeypatch.setitem(module._given, "run", url)
    ledger, space = Ledger(tmp_path), Space("layer", ("fc",), (100,))
    recorder = Recorder(ledger, IDENTITY, space, Goal(units={"accuracy_violation": 0.01}))
    recorder.setup()
    for number in (3, 4):
        trial = {**JOB.to_dict()["trial"], "number": number}
        config = {"job": {**JOB.to_dict(), "trial": trial}}
        told = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(best_checkpoint_results=[]), last_result=STOPPED
        )
        ended = SimpleNamespace(config=config, last_result=STOPPED, run_metadata=told)
        recorder.on_trial_complete(0, [], ended)
        assert [row["number"] for row in ledger.rows()] == list(range(3, number + 1))
        recorder.on_experiment_end([])
        recorder = pickle.loads(pickle.dumps(recorder))  # as a program that goes on has it
        recorder.setup()
    names = [
        t.user_attrs["number"] for t in optuna.load_study(study_name="run", storage=url).trials
    ]
    assert names == [3, 4]


def test_rows_that_somebody_removed_are_written_again(tmp_path: Path) -> None:
    def ended(number: int, **reported: object) -> SimpleNamespace:
        values = {**JOB.to_dict()["trial"], "number": number}
        result = {**STOPPED, **reported}
        told = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(best_checkpoint_results=[]), last_result=result
        )
        config = {"job": {**JOB.to_dict(), "trial": values}}
        return SimpleNamespace(config=config, last_result=result, run_metadata=told)

    recorder = Recorder(Ledger(tmp_path), IDENTITY)
    trials = [ended(3, done=True), ended(4, done=True), ended(5)]
    for trial in trials[:2]:
        recorder.on_trial_complete(0, trials, trial)
    before = Ledger(tmp_path).rows()
    for part in (tmp_path / "trials.parquet").iterdir():
        part.unlink()
    Recorder(Ledger(tmp_path), IDENTITY).on_experiment_end(trials)
    assert Ledger(tmp_path).rows() == before


def test_the_ledger_keeps_what_is_new(tmp_path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(to_record(IDENTITY, JOB, {**STOPPED, "parameters": 123}))
    assert ledger.rows()[0]["parameters"] == 123


def test_what_is_on_disk_leaves_all_later_snapshots_of_tune(tmp_path: Path) -> None:
    epoch = {"trial_id": JOB.trial.trial_id, "phase": "admm", "epoch": 1, "loss": 0.5}
    epoch |= {"train_accuracy": 0.8, "val_accuracy": 0.7}
    checkpoint = SimpleNamespace(metrics={"epochs": 4, "history": [epoch]})
    result = {**STOPPED, "history": [epoch]}
    told = SimpleNamespace(
        last_result=result,
        checkpoint_manager=SimpleNamespace(best_checkpoint_results=[checkpoint]),
        metric_analysis={"epochs": {"max": 4}},
    )
    trial = SimpleNamespace(config={"job": JOB.to_dict()}, last_result=result, run_metadata=told)
    Recorder(Ledger(tmp_path), IDENTITY).on_trial_complete(0, [], trial)
    (kept,) = pd.read_parquet(tmp_path / "epochs.parquet").to_dict("records")
    assert (kept["loss"], kept["val_accuracy"]) == (0.5, 0.7)
    assert told.last_result == STOPPED
    assert told.metric_analysis == {}
    assert checkpoint.metrics == {"epochs": 4}
