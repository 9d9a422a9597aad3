"""Runs one stage of a run as a Ray Tune experiment, or what a killed program left of it.

Four rooms cooperate in a resume:

- `search/pipeline.py` reads the settings back from config.json and refuses other data;
- here, `run_stage` restores Tune's own snapshot where it is whole (`has_snapshot`), so that
  finished trials are not run again; a stage whose snapshot is torn begins anew;
- `search/tune/searcher.py` restores the study and adopts (`adopt`) the rows of trials.parquet that
  an older snapshot does not know;
- `trainables/trial.py` goes on from its last checkpoint (`load_checkpoint`), and answers with the
  row that is on disk (`known_row`) where a trial had ended before the snapshot was written.
"""

import dataclasses
import fnmatch
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search import Searcher

from search.tune.cause import cause
from search.tune.notice import LeavesOnNotice, checkpoints_first
from search.tune.repairs import losses_retried, with_settings
from search.tune.resources import Resources
from trainables.base.storage import Place, RemotePath, children, unsealed
from trainables.trial import LOGITS_FILE, Job, Shared, Trial, job_of

log = logging.getLogger(__name__)

MAX_FAILURES = 2
"""How often a trial whose process or machine died is retried, from its last checkpoint."""


class StageFailed(RuntimeError):
    """A part that the run cannot do without has failed; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One Tune experiment of a run."""

    name: str
    folder: Place
    """The run's `tune/` folder; the stage gets a folder in it."""

    shared: Shared
    resources: Resources
    callbacks: list[tune.Callback]
    jobs: list[Job] | None = None
    """A fixed list of jobs; None when a searcher suggests them."""

    base: Job | None = None
    """What every suggested job has in common."""

    searcher: Searcher | None = None
    stopper: tune.Stopper | None = None


def trial_name(trial: Any) -> str:
    """Our own stable name; Tune's would hold the whole vector and a random part."""
    return job_of(trial.config).trial.trial_id


def _pickled(content: bytes) -> object:
    try:
        return pickle.loads(content)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError("it is torn") from error


SNAPSHOT = "experiment_state-*.json"
SNAPSHOT_FILES: dict[str, Callable[[bytes], object]] = {
    SNAPSHOT: json.loads,
    "search_gen_state-*.json": _pickled,
    "basic-variant-state-*.json": _pickled,
    "searcher-state-*.pkl": unsealed,
}
"""Names of what Tune restores from -> a reader that raises ValueError where a file is torn."""


def has_snapshot(folder: Place) -> bool:
    """Whether Tune left something whole to restore.

    `tuner.pkl` alone comes before the first snapshot.  Tune writes its snapshots in place, so a
    kill or a full disk can tear one, and would then begin the stage anew without a word.
    """
    files = children(folder)
    if not any(fnmatch.fnmatch(file.name, SNAPSHOT) for file in files):
        return False
    try:
        for pattern, read in SNAPSHOT_FILES.items():
            for file in files:
                if fnmatch.fnmatch(file.name, pattern):
                    read(file.read_bytes())
    except ValueError:
        log.warning("%s holds a torn snapshot of Ray Tune: the stage begins again", folder)
        return False
    return True


class NoneMayFail(tune.Callback):
    """Ends a stage when a job of it failed for good: the others would be trained for nothing."""

    def __init__(self, what: str) -> None:
        """what: the jobs, in the words of the message."""
        self._what = what

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """All retries were used. Raises StageFailed."""
        raise failure(self._what, trial_name(trial), trial.get_error())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It may have ended without a model. Raises StageFailed."""
        error = (trial.last_result or {}).get("trial_error")
        if error:
            raise failure(self._what, trial_name(trial), error)


def run_stage(stage: Stage, needed: str | None = None) -> dict[str, tune.Result]:
    """Run the stage, or what a killed driver left of it; trial id -> Tune's result.

    Finished trials are not run again; interrupted ones go on from their last checkpoint.  A job of
    a fixed list that failed for good is tried again.

    needed: what its jobs make, where the run cannot do without any of them; the first that fails
    for good then ends the stage.  Raises StageFailed.
    """
    if needed is not None:
        stage = dataclasses.replace(stage, callbacks=[*stage.callbacks, NoneMayFail(needed)])
    trainable = tune.with_resources(
        tune.with_parameters(Trial, shared=stage.shared),
        {"cpu": stage.resources.cpus_per_trial, "gpu": stage.resources.gpus_per_trial},
    )
    folder = stage.folder / stage.name
    if has_snapshot(folder):
        tuner = _restored(stage, folder, trainable)
    else:
        _remove_tree(folder)  # killed before its first whole snapshot
        tuner = _new_tuner(stage, trainable)
    with checkpoints_first(), losses_retried():
        grid = tuner.fit()
    results = [grid[position] for position in range(len(grid))]
    found = {job_of(result.config).trial.trial_id: result for result in results if result.config}
    if needed is not None:
        require_all(found, stage.jobs or [], needed)
    return found


def _restored(stage: Stage, folder: Place, trainable: Any) -> tune.Tuner:
    """Tune's trials as they were; all else of this program, which may run in another place.

    Tune keeps pickles of the first program's callbacks and searcher, which know its folder.
    """
    tuner = tune.Tuner.restore(
        str(folder),
        trainable,
        resume_unfinished=True,
        resume_errored=stage.jobs is not None,
        param_space=_param_space(stage),
    )
    return with_settings(tuner, _tune_config(stage), _run_config(stage))


def _remove_tree(folder: Place) -> None:
    if isinstance(folder, RemotePath):
        folder.remove_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _param_space(stage: Stage) -> dict[str, Any]:
    if stage.jobs is not None:
        return {"job": tune.grid_search([job.to_dict() for job in stage.jobs])}
    if stage.base is None:
        raise ValueError("a stage needs jobs, or a base and a searcher")
    return {"job": stage.base.to_dict()}


def _new_tuner(stage: Stage, trainable: Any) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        param_space=_param_space(stage),
        tune_config=_tune_config(stage),
        run_config=_run_config(stage),
    )


def _tune_config(stage: Stage) -> tune.TuneConfig:
    return tune.TuneConfig(
        search_alg=stage.searcher,
        scheduler=LeavesOnNotice(),
        num_samples=1 if stage.searcher is None else -1,  # a searcher knows when to end
        max_concurrent_trials=stage.resources.concurrency,
        reuse_actors=True,
        trial_name_creator=trial_name,
        trial_dirname_creator=trial_name,
    )


def _run_config(stage: Stage) -> tune.RunConfig:
    return tune.RunConfig(
        name=stage.name,
        storage_path=str(stage.folder),
        stop=stage.stopper,
        failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
        # a trial says itself when; by default Tune writes every state at its end too
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        callbacks=stage.callbacks,
        verbose=0,
    )


def require_all(results: dict[str, tune.Result], jobs: list[Job], what: str) -> None:
    """Raise StageFailed unless every job finished its full budget."""
    for job in jobs:
        reason = _unfinished(results.get(job.trial.trial_id))
        if reason is not None:
            others = sum(
                _unfinished(results.get(other.trial.trial_id)) is not None for other in jobs
            )
            more = f" ({others} of {len(jobs)} did not finish)" if others > 1 else ""
            raise StageFailed(f"{what} {job.trial.trial_id} failed{more}: {reason}")


def failure(what: str, name: str, error: BaseException | str | None) -> StageFailed:
    """In one line: which job of which kind failed, and why."""
    return StageFailed(f"{what} {name} failed: {cause(error)}")


def _unfinished(result: tune.Result | None) -> str | None:
    """Why a job has no full result, on one line; None where it has one."""
    if result is None:
        return "it was not started: the stage ended before its turn"
    if result.error is not None:
        return cause(result.error)
    metrics = result.metrics or {}
    if metrics.get("finished"):
        return None
    if metrics.get("trial_error"):
        return str(metrics["trial_error"])
    if not metrics.get("epochs"):
        return "its process ended, or the stage did, before its first report"
    return f"it ended after {metrics['epochs']} epochs, before its full budget"


def kept_checkpoint(result: tune.Result) -> tune.Checkpoint:
    """The last checkpoint of a job that keeps its model. Raises StageFailed when there is none."""
    if result.checkpoint is None:
        raise StageFailed(f"the trial in {result.path} left no checkpoint")
    checkpoint: tune.Checkpoint = result.checkpoint
    return checkpoint


def kept_logits(result: tune.Result, name: str = LOGITS_FILE) -> np.ndarray:
    """(images, classes) logits that a finished job left in its checkpoint."""
    with kept_checkpoint(result).as_directory() as folder:
        logits: np.ndarray = np.load(Path(folder) / name, allow_pickle=False)
    return logits
