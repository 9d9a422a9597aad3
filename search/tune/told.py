"""Tells RUN/progress.json how a stage goes: trials ended and running, models made, time spent."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.record.progress_json import ProgressFile
from trainables.job import Job, job_of
from trainables.progress import StageProgress, VectorProgress

BY_OTHERS = "-by-"
"""In the name of a stage that makes the winner's counts by another pruner: no other vector."""


class Told(Callback):
    """Of one stage."""

    def __init__(
        self, stage: StageProgress, file: ProgressFile, jobs: Sequence[Job] | None = None
    ) -> None:
        """jobs: those of the stage; None where a searcher suggests them."""
        known = file.stage(stage.name)
        self._stage = dataclasses.replace(stage, busy_s=0.0 if known is None else known.busy_s)
        self._file: ProgressFile | None = file
        self._vectors = _vectors(stage.name, jobs or [])
        self._running: dict[str, Trial] = {}
        self._ended: dict[str, bool] = {}  # trial id -> whether it failed
        self._begun = False

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles callbacks; a file is of one process."""
        return {**self.__dict__, "_file": None, "_running": {}}

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Tune's first step: now its trials are those that it restored, if any."""
        self._begin(trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial got a slot, for the first time or again."""
        self._count_time()
        self._running[_trial_id(trial)] = trial
        self._tell()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial finished or was stopped."""
        self._end(trial, failed=_failed(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial failed for good."""
        self._end(trial, failed=True)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Its process or machine died; it waits for a slot to go on."""
        self._count_time()
        self._running.pop(_trial_id(trial), None)
        self._tell()

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """Nothing runs any more; of a stage that was all done this is the only call."""
        self._begin(trials)
        self._count_time()
        self._running.clear()
        self._tell()

    def _begin(self, trials: list[Any]) -> None:
        if self._begun:
            return
        self._begun = True
        for trial in trials:
            if trial.status in (Trial.TERMINATED, Trial.ERROR):
                self._ended[_trial_id(trial)] = trial.status == Trial.ERROR or _failed(trial)
        self._seen = time.monotonic()
        self._before = len(self._ended), self._stage.busy_s
        self._tell()

    def _end(self, trial: Any, *, failed: bool) -> None:
        self._count_time()
        self._running.pop(_trial_id(trial), None)
        self._ended[_trial_id(trial)] = failed
        self._tell()

    def _count_time(self) -> None:
        now, before = time.monotonic(), self._seen
        busy_s = self._stage.busy_s + (now - before) * len(self._running)
        self._seen, self._stage = now, dataclasses.replace(self._stage, busy_s=busy_s)

    def _tell(self) -> None:
        for trial_id, trial in list(self._running.items()):
            if trial.status not in (Trial.PENDING, Trial.RUNNING):  # it gave its slot back
                del self._running[trial_id]
        ended_before, busy_before_s = self._before
        done, new = len(self._ended), len(self._ended) - ended_before
        rest = max(self._stage.total - done, 0) / self._stage.slots
        self._stage = dataclasses.replace(
            self._stage,
            done=done,
            failed=sum(self._ended.values()),
            running=len(self._running),
            left_s=(self._stage.busy_s - busy_before_s) / new * rest if new else None,
            vectors=tuple(self._of(vector, ids) for vector, ids in self._vectors),
        )
        if self._file is not None:
            self._file.put(self._stage)

    def _of(self, vector: VectorProgress, trial_ids: Sequence[str]) -> VectorProgress:
        ended = [self._ended[one] for one in trial_ids if one in self._ended]
        return dataclasses.replace(vector, done=ended.count(False), failed=ended.count(True))


def _vectors(name: str, jobs: Sequence[Job]) -> list[tuple[VectorProgress, list[str]]]:
    """The vectors of which a stage makes models, and the ids of these, in the order of its jobs."""
    if BY_OTHERS in name:
        return []
    found: dict[tuple[Any, ...], list[str]] = {}
    for job in jobs:
        if job.trial.n:  # a dense model has no counts
            key = job.trial.n, tuple(sorted(job.trial.parameters.items()))
            found.setdefault(key, []).append(job.trial.trial_id)
    return [
        (VectorProgress(n=n, parameters=dict(numbers), models=len(ids)), ids)
        for (n, numbers), ids in found.items()
    ]


def _failed(trial: Any) -> bool:
    return bool((trial.last_result or {}).get("trial_error"))


def _trial_id(trial: Any) -> str:
    return job_of(trial.config).trial.trial_id
