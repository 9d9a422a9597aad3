"""Builds and runs one stage of a run as a Ray Tune experiment: cluster, resources, resume."""

import contextlib
import dataclasses
import fnmatch
import json
import logging
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.job_config import JobConfig
from ray.tune.execution.tune_controller import TuneController
from ray.tune.search import Searcher
from ray.util import placement_group, remove_placement_group

from search.cause import cause
from search.notice import LeavesOnNotice, checkpoints_first
from search.raystart import start_local
from trainables.base.errors import InvalidInput
from trainables.base.storage import Place, RemotePath, children, unsealed
from trainables.trial import LOGITS_FILE, Job, Shared, Trial, job_of

log = logging.getLogger(__name__)

KNOCK_S = 10.0
"""A head node that answers at all answers within this."""

GROWTH_S = 1200.0
"""A machine that a cloud has at all is up and set up within this."""

MAX_FAILURES = 2
"""Retries of a trial whose process or machine died; from its last checkpoint."""

TOLD_TO_GO = ("node was terminated expectedly", "The process receives a SIGTERM")
"""What Ray says of a machine that was drained or shut down, unlike one that vanished."""

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own table; ours is search/progress.py
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger holds the results
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # its handler marks running trials ended: not resumable
    "TUNE_GLOBAL_CHECKPOINT_S": "2",  # the default forgets up to 10 s of trials on kill -9
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",  # checked below, before anything starts
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Shared.device decides; Ray's default will change
}


Nodes = Sequence[Mapping[str, float]]
"""What each machine of a cluster has: {"CPU": cores, "GPU": GPUs, ...}."""


class StageFailed(RuntimeError):
    """A part that the run cannot do without has failed; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes and how many run at a time."""

    cpus_per_trial: float
    gpus_per_trial: float
    concurrency: int

    def slots(self, nodes: Nodes) -> int:
        """How many trials have room; one trial has all of its share on one machine."""
        shares = {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial}
        return sum(
            min(
                int(node.get(name, 0.0) / share + 1e-9)
                for name, share in shares.items()
                if share > 0
            )
            for node in nodes
        )


@contextlib.contextmanager
def cluster(address: str | None, say: Callable[[str], None] = log.warning) -> Iterator[Nodes]:
    """Join the Ray cluster at `address`, or start one on this machine; yields its machines.

    say: is told of a start that takes long.
    Raises InvalidInput when no cluster answers at `address`, or one of another version, and
    RayNotStarted.
    """
    if any(letter.isspace() for letter in sys.executable):
        raise InvalidInput(
            f"Ray cannot start workers from {sys.executable}: move the project to a path without "
            "spaces and run `make install` there"
        )
    os.environ.update(_ENVIRONMENT)
    if address in (None, "local"):
        _start(say)
    else:
        _join(str(address), say)
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def _settings() -> dict[str, Any]:
    """Of `ray.init`: nothing is printed, and workers import from a checkout that we run in.

    Ray has them import from the working folder, which may hold a random.py of the user's; a job
    that says that it is a client's is spared that.
    """
    root = Path(__file__).resolve().parents[1]
    path = [str(root)] if Path.cwd() == root else []
    return {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "job_config": JobConfig(_client_job=True, _py_driver_sys_path=path),
    }


def _start(say: Callable[[str], None]) -> None:
    try:
        start_local(say, **_settings())
    except (OSError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise InvalidInput(
            f"Ray cannot start on this machine: {cause}; its files go to RAY_TMPDIR or TMPDIR, "
            "which must be a short path with room"
        ) from error


def _join(address: str, say: Callable[[str], None]) -> None:
    named = f"--address {address!r}"
    if address == "auto" and os.environ.get("RAY_ADDRESS"):
        address = os.environ["RAY_ADDRESS"]
        named = f"RAY_ADDRESS {address!r}"
        say(f"--address auto is {named} of the environment")
    try:
        _knock(address)
        ray.init(address=address, include_dashboard=False, **_settings())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"no Ray cluster answers at {named}: start one with `ray up cluster.yaml`, or leave "
            "the option out to use this machine"
        ) from error
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise
        cause = " ".join(str(error).split())
        raise InvalidInput(
            f"the Ray cluster at {named} has other versions than this program: {cause} Install "
            "the same on both"
        ) from error


def _knock(address: str | None) -> None:
    """Raise OSError when nothing listens at a HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        if not 0 < int(port) < 2**16:
            raise ValueError(f"there is no port {port}")
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def plan_resources(
    nodes: Nodes,
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
    cores, gpus = (max((node.get(name, 0.0) for node in nodes), default=0.0) for name in _COUNTED)
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
            f"--gpus-per-trial {gpu_share:g} but the cluster has {gpus:g} GPUs on its largest "
            f"machine: lower it, or use 0 to run on the CPU{hint}"
        )
    if cpu_share > cores:
        raise InvalidInput(
            f"--cpus-per-trial {cpu_share:g} but the cluster has {cores:g} CPU cores on its "
            f"largest machine: lower it{hint}"
        )
    slots = resources.slots(nodes)
    if not slots:
        raise InvalidInput(
            f"no machine of the cluster has {cpu_share:g} CPU cores and {gpu_share:g} GPUs "
            f"together: lower --cpus-per-trial or --gpus-per-trial{hint}"
        )
    return dataclasses.replace(resources, concurrency=max(1, min(concurrency or slots, slots)))


_COUNTED = ("CPU", "GPU")
_GROW = ", or give --concurrency to have the cluster grow to that many trials"


def wait_for_room(
    resources: Resources,
    nodes: Nodes,
    say: Callable[[str], None],
    patience_s: float = GROWTH_S,
) -> None:
    """Ask the autoscaler of a cluster without room for room for all trials, until one has it.

    Raises InvalidInput when no room comes. What is asked for ends with this program, however it
    ends, so that no machine stays up for it.
    """
    if resources.slots(nodes):
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


@contextlib.contextmanager
def losses_retried() -> Iterator[None]:
    """Mend what Tune makes of a lost actor in Ray 2.60, while its loop runs.

    - OutOfMemoryError, with which Ray ends a process before the machine runs out of memory, is not
      among the errors that Tune knows of actors: the whole experiment ends with it.
    - An actor that is lost while it is reset for its next trial counts as two failures at once, the
      second of which is final; and the trial is taken to be in that reset for ever.
    - A machine that was told to go counts as a failure of its trials.
    """
    managers: Any = RayActorManager
    failed = managers._actor_task_failed  # noqa: SLF001 - Ray has no public way

    def as_lost(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        if isinstance(exception, RayActorError):
            if any(words in str(exception) for words in TOLD_TO_GO):
                exception._preempted = True  # noqa: SLF001 - Ray has no public way
            _end_reset(tracked_actor_task)
        failed(self, tracked_actor_task, exception)

    managers._actor_task_failed = as_lost  # noqa: SLF001 - Ray has no public way
    try:
        yield
    finally:
        managers._actor_task_failed = failed  # noqa: SLF001 - Ray has no public way


def _end_reset(task: Any) -> None:
    """Leave the failure of a reset to Tune's handler of the actor's."""
    actor = task._tracked_actor  # noqa: SLF001 - Ray has no public way
    controller = getattr(actor._on_error, "__self__", None)  # noqa: SLF001 - Ray has no public way
    if not isinstance(controller, TuneController):
        return
    trial = controller._actor_to_trial.get(actor)  # noqa: SLF001 - Ray has no public way
    resetting = controller._resetting_trials  # noqa: SLF001 - Ray has no public way
    if trial in resetting:
        resetting.discard(trial)
        task._on_error = None  # noqa: SLF001 - Ray has no public way


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
    inner: Any = tuner._local_tuner  # noqa: SLF001 - Ray has no public way
    inner._tune_config, inner._run_config = _tune_config(stage), _run_config(stage)  # noqa: SLF001 - Ray has no public way
    return tuner


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
