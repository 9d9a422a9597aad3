"""Builds and runs one stage of a run as a Ray Tune experiment: cluster, resources, resume."""

import contextlib
import dataclasses
import fnmatch
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util import placement_group, remove_placement_group

from trainables.config import InvalidInput
from trainables.storage import Place, RemotePath, children
from trainables.trial import LOGITS_FILE, Job, Shared, Trial, job_of

log = logging.getLogger(__name__)

KNOCK_S = 10.0
"""A head node that answers at all answers within this."""

GROWTH_S = 1200.0
"""A machine that a cloud has at all is up and set up within this."""

MAX_FAILURES = 2
"""Retries of a trial whose process or machine died; from its last checkpoint."""

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own table; ours is search/progress.py
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger holds the results
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # its handler marks running trials ended: not resumable
    "TUNE_GLOBAL_CHECKPOINT_S": "2",  # the default forgets up to 10 s of trials on kill -9
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",  # checked below, before anything starts
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Shared.device decides; Ray's default will change
}


class StageFailed(RuntimeError):
    """A part that the run cannot do without has failed; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes and how many run at a time."""

    cpus_per_trial: float
    gpus_per_trial: float
    concurrency: int

    def slots(self, available: dict[str, float]) -> int:
        """How many trials have room in a cluster with these resources."""
        slots = int(available.get("CPU", 0.0) // self.cpus_per_trial)
        if self.gpus_per_trial > 0:
            slots = min(slots, int(available.get("GPU", 0.0) / self.gpus_per_trial + 1e-9))
        return slots


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[dict[str, float]]:
    """Join the Ray cluster at `address`, or start one on this machine; yields its resources.

    Raises InvalidInput when no cluster answers at `address`.
    """
    if any(letter.isspace() for letter in sys.executable):
        raise InvalidInput(
            f"Ray cannot start workers from {sys.executable}: move the project to a path without "
            "spaces and run `make install` there"
        )
    os.environ.update(_ENVIRONMENT)
    try:
        _knock(address)
        ray.init(
            address=address or "local",  # None would join any cluster that runs on this machine
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=None if address in (None, "local") else False,
        )
    except (OSError, ValueError) as error:
        if address in (None, "local"):
            cause = " ".join(str(error).split())
            raise InvalidInput(
                f"Ray cannot start on this machine: {cause}; its files go to RAY_TMPDIR or TMPDIR, "
                "which must be a short path with room"
            ) from error
        raise InvalidInput(
            f"no Ray cluster answers at --address {address!r}: start one with `ray up "
            "cluster.yaml`, or leave the option out to use this machine"
        ) from error
    try:
        yield {name: float(count) for name, count in ray.cluster_resources().items()}
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Raise OSError when nothing listens at a HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        if not 0 < int(port) < 2**16:
            raise ValueError(f"there is no port {port}")
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def plan_resources(
    available: dict[str, float],
    *,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
    concurrency: int | None,
    may_grow: bool = False,
) -> Resources:
    """Fill the cluster: by default one GPU a trial where there are GPUs, else one core.

    may_grow: a given `concurrency` is believed; `wait_for_room` asks for what is not there yet.
    Raises InvalidInput when not a single trial fits: Tune would wait for ever.
    """
    cores, gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    gpu_share = gpus_per_trial if gpus_per_trial is not None else float(gpus > 0)
    cpu_share = cpus_per_trial if cpus_per_trial is not None else 1.0
    resources = Resources(
        cpus_per_trial=cpu_share, gpus_per_trial=gpu_share, concurrency=concurrency or 1
    )
    if may_grow and concurrency is not None:
        return resources
    hint = _GROW if may_grow else ""
    if gpu_share > gpus:
        raise InvalidInput(
            f"--gpus-per-trial {gpu_share:g} but the cluster has {gpus:g} GPUs: lower it, or use 0 "
            f"to run on the CPU{hint}"
        )
    if cpu_share > cores:
        raise InvalidInput(
            f"--cpus-per-trial {cpu_share:g} but the cluster has {cores:g} CPU cores: lower it"
            f"{hint}"
        )
    slots = resources.slots(available)
    return dataclasses.replace(resources, concurrency=max(1, min(concurrency or slots, slots)))


_GROW = ", or give --concurrency to have the cluster grow to that many trials"


def wait_for_room(
    resources: Resources,
    available: dict[str, float],
    say: Callable[[str], None],
    patience_s: float = GROWTH_S,
) -> None:
    """Ask the autoscaler of a cluster without room for room for all trials, until one has it.

    Raises InvalidInput when no room comes. What is asked for ends with this program, however it
    ends, so that no machine stays up for it.
    """
    if resources.slots(available):
        return
    minutes = f"{patience_s / 60:.0f} minutes"
    say(
        f"The cluster has no room for a trial yet: it is asked for {resources.concurrency}, and "
        f"{minutes} at most are waited for the first"
    )
    share = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    bundle = {name: count for name, count in share.items() if count}
    groups = [placement_group([bundle]) for _ in range(resources.concurrency)]
    try:
        if not ray.wait([group.ready() for group in groups], timeout=patience_s)[0]:
            wanted = " and ".join(f"{count:g} {name}" for name, count in bundle.items())
            raise InvalidInput(
                f"--concurrency {resources.concurrency}: no machine with {wanted} came within "
                f"{minutes}; `ray status` on the head says why"
            )
    finally:
        for group in groups:
            remove_placement_group(group)


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


def has_snapshot(folder: Place) -> bool:
    """Whether Tune left something to restore; `tuner.pkl` alone comes before the first snapshot."""
    return any(fnmatch.fnmatch(file.name, "experiment_state-*.json") for file in children(folder))


def run_stage(stage: Stage) -> dict[str, tune.Result]:
    """Run the stage, or what a killed driver left of it; trial id -> Tune's result.

    Finished trials are not run again; interrupted ones go on from their last checkpoint.
    """
    trainable = tune.with_resources(
        tune.with_parameters(Trial, shared=stage.shared),
        {"cpu": stage.resources.cpus_per_trial, "gpu": stage.resources.gpus_per_trial},
    )
    folder = stage.folder / stage.name
    if has_snapshot(folder):
        tuner = tune.Tuner.restore(
            str(folder), trainable, resume_unfinished=True, param_space=_param_space(stage)
        )
    else:
        _remove_tree(folder)  # killed before its first snapshot
        tuner = _new_tuner(stage, trainable)
    grid = tuner.fit()
    results = [grid[position] for position in range(len(grid))]
    return {job_of(result.config).trial.trial_id: result for result in results if result.config}


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
        tune_config=tune.TuneConfig(
            search_alg=stage.searcher,
            num_samples=1 if stage.searcher is None else -1,  # a searcher knows when to end
            max_concurrent_trials=stage.resources.concurrency,
            reuse_actors=True,
            trial_name_creator=trial_name,
            trial_dirname_creator=trial_name,
        ),
        run_config=tune.RunConfig(
            name=stage.name,
            storage_path=str(stage.folder),
            stop=stage.stopper,
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=stage.callbacks,
            verbose=0,
        ),
    )


def require_all(results: dict[str, tune.Result], jobs: list[Job], what: str) -> None:
    """Raise StageFailed unless every job finished its full budget."""
    for job in jobs:
        result = results.get(job.trial.trial_id)
        if result is None or result.error is not None:
            cause = "no result" if result is None else str(result.error).strip().splitlines()[-1]
            raise StageFailed(f"{what} {job.trial.trial_id} failed: {cause}")
        if not (result.metrics or {}).get("finished"):
            cause = (result.metrics or {}).get("trial_error") or "it was stopped early"
            raise StageFailed(f"{what} {job.trial.trial_id} failed: {cause}")


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
