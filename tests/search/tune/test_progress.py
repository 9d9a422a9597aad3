"""The live view counts what was finished before: a resumed stage does not start at 0."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from search.record.trials_parquet import Ledger
from search.tune.progress import LiveView
from search.tune.recorder import to_record
from tests.search.tune.test_recorder import IDENTITY, JOB, STOPPED
from trainables.outcome.objective import Goal


def trial(number: int, status: str = Trial.TERMINATED, **result: Any) -> SimpleNamespace:
    job = JOB.to_dict()
    job["trial"] |= {"number": number}
    return SimpleNamespace(config={"job": job}, status=status, last_result=result)


def begun(trials: list[SimpleNamespace], ledger: Ledger | None = None, total: int = 3) -> LiveView:
    """As Tune calls it: in another process, the stage's trials known at its first step."""
    view = pickle.loads(pickle.dumps(LiveView("Dense", total, quiet=False, ledger=ledger)))
    view.setup()
    view.on_step_begin(0, trials)
    return view


def test_a_new_stage_begins_at_nothing_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    first = trial(0, Trial.RUNNING)
    view = begun([first])
    view.on_step_begin(1, [first])
    view.on_trial_complete(1, [first], first)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Dense: 0/3"
    assert lines[1].startswith("Dense: 1/3  search-0000")
    assert len(lines) == 2


def test_a_resumed_stage_begins_with_what_it_restored(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [trial(0), trial(1), trial(2, Trial.PENDING)]
    view = begun(trials)
    view.on_trial_complete(1, trials, trials[2])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Dense: 2/3"
    assert lines[1].startswith("Dense: 3/3  search-0002")


def test_a_stage_that_was_all_done_is_shown_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Tune takes no step of it."""
    view = LiveView("Dense", 3, quiet=False, ledger=None)
    view.setup()
    view.on_experiment_end([trial(0), trial(1), trial(2)])
    assert capsys.readouterr().err.splitlines() == ["Dense: 3/3"]


def test_what_failed_for_good_before_and_is_tried_again_is_not_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun([trial(0), trial(1, Trial.PENDING)])
    assert capsys.readouterr().err.splitlines() == ["Dense: 1/3"]


def test_the_search_counts_its_rows_on_disk_and_what_tune_restored_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(to_record(IDENTITY, JOB, STOPPED))  # search-0003
    begun([trial(3), trial(4, finished=True, accuracy_violation=-0.1, excess_gain=0.01)], ledger)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "Dense: 2/3"


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (Goal(units={}), "best excess gain 0.0100 nats"),
        (Goal(objective="val_accuracy", maximised=True, units={}), "best validation accuracy 0.95"),
    ],
)
def test_the_best_is_that_of_the_goal_among_the_feasible(
    goal: Goal, best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"finished": True, "accuracy_violation": -0.1}
    trials = [
        trial(0, **kept, excess_gain=0.01, val_accuracy=0.93),
        trial(1, **kept, excess_gain=0.03, val_accuracy=0.95),
        trial(2, finished=True, accuracy_violation=0.1, excess_gain=0.0, val_accuracy=0.99),
        trial(3, finished=False, excess_gain=0.0, val_accuracy=0.99),
    ]
    view = LiveView("Search", 4, quiet=False, ledger=Ledger(tmp_path), goal=goal)
    view.setup()
    view.on_step_begin(0, [])
    for one in trials:
        view.on_trial_complete(1, trials, one)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "feasible 50%" in last
    assert best in last
