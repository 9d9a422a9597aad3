"""Runs one stage of a run as a Ray Tune experiment, or what a killed program left of it."""

import dataclasses
import os
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from search.tune.kept import StatesDropped, drop_states
from search.tune.notice import LeavesOnNotice, checkpoints_first
from search.tune.repairs import losses_retried
from search.tune.required import NoneMayFail, require_all, trial_name
from search.tune.resources import Resources
from search.tune.resume import Settings, has_snapshot, restored
from trainables.base.storage import Place, remove_tree
from trainables.job import Job, Shared, job_of
from trainables.trial import Trial

MAX_FAILURES = 2
"""How often a trial whose process or machine died is retried, from its last checkpoint."""

CHECKPOINTS = 2
"""The most that a trial has on disk: Tune's newest snapshot may name the one before the last."""

FEW = 200
"""Up to so many trials Tune's snapshot is small enough to write every SNAPSHOT_EVERY_S."""

SNAPSHOT_EVERY_S = 2
"""Seconds; Tune's own least, 10, forgets more of a stage whose program is killed."""


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
    suggested: int = 0
    """How many jobs the searcher suggests, at most."""

    stopper: tune.Stopper | None = None


def run_stage(stage: Stage, needed: str | None = None) -> dict[str, tune.Result]:
    """Run the stage, or what a killed driver left of it; trial id -> Tune's result.

    Finished trials are not run again; interrupted ones go on from their last checkpoint.  A job of
    a fixed list that failed for good is tried again.

    needed: what its jobs make, where the run cannot do without any of them; the first that fails
    for good then ends the stage.  Raises StageFailed, or TrainingDiverged.
    """
    none_may_fail = None if needed is None else NoneMayFail(needed)
    if none_may_fail is not None:
        stage = dataclasses.replace(stage, callbacks=[*stage.callbacks, none_may_fail])
    trainable = tune.with_resources(
        tune.with_parameters(Trial, shared=stage.shared),
        {"cpu": stage.resources.cpus_per_trial, "gpu": stage.resources.gpus_per_trial},
    )
    folder = stage.folder / stage.name
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = snapshot_period(stage)
    if has_snapshot(folder):
        tuner = restored(folder, trainable, _settings(stage), failed_too=stage.jobs is not None)
    else:
        remove_tree(folder)  # a program was killed before its first whole snapshot
        tuner = _new_tuner(_settings(stage), trainable)
    with checkpoints_first(), losses_retried():
        try:
            grid = tuner.fit()
        except Exception as error:
            if none_may_fail is not None and none_may_fail.failed is not None:
                raise none_may_fail.failed from error
            raise
    results = [grid[position] for position in range(len(grid))]
    found = {job_of(result.config).trial.trial_id: result for result in results if result.config}
    if needed is not None:
        require_all(found, stage.jobs or [], needed)
    drop_states(folder, found)
    return found


def snapshot_period(stage: Stage) -> str:
    """Seconds between Tune's snapshots, as its variable takes them.

    Of many trials `auto`: at most a twentieth of the time goes into them.  What one forgets is in
    the ledger.
    """
    trials = stage.suggested if stage.jobs is None else len(stage.jobs)
    return str(SNAPSHOT_EVERY_S) if trials <= FEW else "auto"


def _param_space(stage: Stage) -> dict[str, Any]:
    if stage.jobs is not None:
        return {"job": tune.grid_search([job.to_dict() for job in stage.jobs])}
    if stage.base is None:
        raise ValueError("a stage needs jobs, or a base and a searcher")
    return {"job": stage.base.to_dict()}


def _settings(stage: Stage) -> Settings:
    return Settings(
        param_space=_param_space(stage),
        tune_config=_tune_config(stage),
        run_config=_run_config(stage),
    )


def _new_tuner(settings: Settings, trainable: Any) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        param_space=settings.param_space,
        tune_config=settings.tune_config,
        run_config=settings.run_config,
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
        checkpoint_config=tune.CheckpointConfig(num_to_keep=CHECKPOINTS, checkpoint_at_end=False),
        callbacks=[*stage.callbacks, StatesDropped(stage.folder / stage.name)],
        verbose=0,
    )
