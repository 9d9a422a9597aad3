"""What is left of checkpoints: a kept model's last one, and nothing of any other."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import tune

from search.tune.kept import StatesDropped, drop_states
from tests.search.tune.test_recorder import JOB
from trainables.job import Job
from trainables.trial import LOGITS_FILE, STATE_FILE

KEPT = dataclasses.replace(JOB, keep_outputs=True)


def with_checkpoints(stage: Path, job: Job) -> list[Path]:
    """Two of a trial: a state, then what is kept of its model."""
    made = [stage / job.trial.trial_id / f"checkpoint_00000{number}" for number in range(2)]
    for folder, name in zip(made, (STATE_FILE, LOGITS_FILE), strict=True):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"x")
    return made


def result(job: Job, last: Path, error: Exception | None = None) -> Any:
    return SimpleNamespace(
        config={"job": job.to_dict()}, checkpoint=tune.Checkpoint(str(last)), error=error
    )


def test_a_stage_that_ended_leaves_the_last_checkpoint_of_what_is_kept(tmp_path: Path) -> None:
    first, last = with_checkpoints(tmp_path, KEPT)
    drop_states(tmp_path, {KEPT.trial.trial_id: result(KEPT, last)})
    assert (first.exists(), last.exists()) == (False, True)


def test_a_stage_that_ended_leaves_nothing_of_what_is_not_kept(tmp_path: Path) -> None:
    made = with_checkpoints(tmp_path, JOB)
    drop_states(tmp_path, {JOB.trial.trial_id: result(JOB, made[-1])})
    assert not any(folder.exists() for folder in made)


def test_a_trial_that_a_resume_may_try_again_keeps_its_checkpoints(tmp_path: Path) -> None:
    made = with_checkpoints(tmp_path, JOB)
    drop_states(tmp_path, {JOB.trial.trial_id: result(JOB, made[-1], RuntimeError("lost"))})
    assert all(folder.exists() for folder in made)


def test_states_of_a_searched_trial_go_when_it_ends_and_their_folders_stay(tmp_path: Path) -> None:
    """Tune refuses to restore from a folder that is gone, even a trial whose row is on disk."""
    dropped = StatesDropped(tmp_path)
    for job, gone in ((JOB, True), (KEPT, False)):
        job = dataclasses.replace(job, trial=dataclasses.replace(job.trial, number=int(gone)))
        made = with_checkpoints(tmp_path, job)
        dropped.on_trial_complete(0, [], SimpleNamespace(config={"job": job.to_dict()}))
        assert all(folder.exists() for folder in made)
        assert (made[0] / STATE_FILE).exists() != gone
