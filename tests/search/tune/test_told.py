"""RUN/progress.json as Tune's calls fill it: counts, slots, time spent, models of each vector."""

import dataclasses
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from search.record.progress_json import ProgressFile
from search.tune import told
from search.tune.told import Told
from tests.search.tune.test_recorder import JOB
from trainables.job import Job
from trainables.progress import FILE, FINISHED, INTERRUPTED, RunProgress, StageProgress

PLANNED = {"dense": 2, "search": 3}


def opened(folder: Path) -> ProgressFile:
    return ProgressFile(folder, planned=PLANNED, cpus=1.0, gpus=0.0)


def read(folder: Path) -> RunProgress:
    return RunProgress.from_dict(json.loads((folder / FILE).read_text()))


def job(number: int, n: tuple[int, ...] = (3, 4)) -> Job:
    trial = dataclasses.replace(JOB.trial, kind="race", number=number, n=n)
    return dataclasses.replace(JOB, trial=trial)


def trial(one: Job, status: str = Trial.PENDING) -> SimpleNamespace:
    return SimpleNamespace(config={"job": one.to_dict()}, status=status, last_result={})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes when the test says so."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(told, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def race(file: ProgressFile, jobs: list[Job], slots: int = 2) -> Told:
    return Told(StageProgress(name="race", title="Race", total=len(jobs), slots=slots), file, jobs)


def test_slots_time_and_vectors_are_counted(tmp_path: Path, clock: SimpleNamespace) -> None:
    jobs = [job(0), job(1), job(2, n=(5, 6)), job(3, n=(5, 6))]
    trials = [trial(one) for one in jobs]
    file = opened(tmp_path)
    stage = race(file, jobs)
    stage.on_step_begin(0, trials)
    for one in trials[:2]:
        stage.on_trial_start(0, trials, one)
        one.status = Trial.RUNNING
    said = file.stage("race")
    assert said is not None
    assert (said.running, said.done, said.left_s) == (2, 0, None)
    clock.s += 10
    stage.on_trial_complete(1, trials, trials[0])
    clock.s += 5
    stage.on_trial_error(1, trials, trials[1])
    said = file.stage("race")
    assert said is not None
    assert (said.running, said.done, said.failed, said.busy_s) == (0, 2, 1, 25.0)
    assert said.left_s == 12.5  # two models on two slots, each 12.5 s
    assert [(one.n, one.models, one.done, one.failed) for one in said.vectors] == [
        ((3, 4), 2, 1, 1),
        ((5, 6), 2, 0, 0),
    ]


@pytest.mark.parametrize("how", ["recovered", "paused"])
def test_a_trial_that_lost_its_slot_does_not_run(
    tmp_path: Path, clock: SimpleNamespace, how: str
) -> None:
    trials = [trial(job(0)), trial(job(1))]
    file = opened(tmp_path)
    stage = race(file, [job(0), job(1)])
    stage.on_step_begin(0, trials)
    stage.on_trial_start(0, trials, trials[0])
    if how == "recovered":
        stage.on_trial_recover(1, trials, trials[0])
    else:
        trials[0].status = Trial.PAUSED
    stage.on_trial_start(1, trials, trials[1])
    said = file.stage("race")
    assert said is not None
    assert said.running == 1


def test_a_resumed_stage_goes_on_with_what_was_done_and_spent(
    tmp_path: Path, clock: SimpleNamespace
) -> None:
    jobs = [job(0), job(1)]
    first = opened(tmp_path)
    with first.kept():
        first.put(StageProgress(name="dense", title="Dense", total=2, done=2, busy_s=7.0))
        first.put(StageProgress(name="race", title="Race", total=2, busy_s=9.0, running=2))
    file = opened(tmp_path)
    stage = race(file, jobs)
    trials = [trial(jobs[0], Trial.TERMINATED), trial(jobs[1])]
    stage.on_step_begin(0, trials)
    said = file.stage("race")
    assert said is not None
    assert (said.done, said.running, said.busy_s, said.left_s) == (1, 0, 9.0, None)
    stage.on_trial_start(0, trials, trials[1])
    clock.s += 4
    stage.on_trial_complete(1, trials, trials[1])
    assert file.stage("race").busy_s == 13.0
    assert file.stage("dense").busy_s == 7.0


def test_tune_can_pickle_it_and_another_process_tells_nobody(tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(race(opened(tmp_path), [job(0)])))
    copy.on_step_begin(0, [trial(job(0))])
    copy.on_experiment_end([])


def test_the_file_says_what_became_of_the_run(tmp_path: Path) -> None:
    with opened(tmp_path).kept():
        pass
    assert read(tmp_path).outcome == FINISHED
    with pytest.raises(KeyboardInterrupt), opened(tmp_path).kept():
        raise KeyboardInterrupt
    assert read(tmp_path).outcome == INTERRUPTED
    with pytest.raises(RuntimeError), opened(tmp_path).kept():
        raise RuntimeError
    assert read(tmp_path).outcome == "fault"
    assert [one.name for one in tmp_path.iterdir()] == [FILE]


def test_the_file_is_written_while_the_run_works(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with file.kept():
        file.put(StageProgress(name="search", title="Search", total=3, done=1))
        while not (tmp_path / FILE).exists() or not read(tmp_path).stages:
            pass  # pytest's own timeout ends it
        assert read(tmp_path).stages[0].done == 1
        assert read(tmp_path).outcome == "running"


def test_a_file_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    (tmp_path / FILE / "in-the-way").touch()
    with opened(tmp_path).kept():
        pass
    assert f"{FILE} cannot be written" in caplog.text


@pytest.mark.parametrize("content", ["{}", "[]", '{"version": 2}', "null", "{"])
def test_a_damaged_file_begins_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with opened(tmp_path).kept():
        pass
    assert read(tmp_path).planned == PLANNED
