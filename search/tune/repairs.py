"""What we mend in Ray's private parts, each with its reason; nothing else reaches into them.

Checked against Ray 2.60. `tests/search/tune/test_repairs.py` fails where another release changed
what is touched here: read its diff, mend these repairs or drop them, then raise the bound of `ray`
in pyproject.toml.
"""

import contextlib
import functools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services
from ray._private.node import Node
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # not in its stub
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController

SLOW_S = 20.0
"""A start that takes longer is said to be slow; on an idle machine it takes 3 s."""

TOLD_TO_GO = ("node was terminated expectedly", "The process receives a SIGTERM")
"""What Ray says of a machine that was drained or shut down, unlike one that vanished."""


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
    failed = managers._actor_task_failed

    def as_lost(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        if isinstance(exception, RayActorError):
            if any(words in str(exception) for words in TOLD_TO_GO):
                exception._preempted = True
            _end_reset(tracked_actor_task)
        failed(self, tracked_actor_task, exception)

    managers._actor_task_failed = as_lost
    try:
        yield
    finally:
        managers._actor_task_failed = failed


def _end_reset(task: Any) -> None:
    """Leave the failure of a reset to Tune's handler of the actor's."""
    actor = task._tracked_actor
    controller = getattr(actor._on_error, "__self__", None)
    if not isinstance(controller, TuneController):
        return
    trial = controller._actor_to_trial.get(actor)
    resetting = controller._resetting_trials
    if trial in resetting:
        resetting.discard(trial)
        task._on_error = None


def with_settings(
    tuner: tune.Tuner, tune_config: tune.TuneConfig, run_config: tune.RunConfig
) -> tune.Tuner:
    """Give a restored tuner the settings of this program.

    Tune keeps pickles of the first program's callbacks and searcher, which know its folder, and
    `Tuner.restore` takes no others.
    """
    inner: Any = tuner._local_tuner
    inner._tune_config, inner._run_config = tune_config, run_config
    return tuner


def end_half_started(error: Exception) -> None:
    """End the processes of a node that came half up: Ray forgets them where its start fails."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node: Any = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False)
    ray.shutdown()


def load() -> str:
    """How busy the machine is, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


@contextlib.contextmanager
def raylet_awaited(patience_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Give the raylet `patience_s` to register; Ray 2.60 gives it 30 s that no setting changes."""
    asked: Any = services.get_node

    def awaited(*where: Any) -> Any:
        began, said = time.monotonic(), False
        while True:
            try:
                return asked(*where)
            except RuntimeError:  # not there yet
                waited = time.monotonic() - began
                if waited > patience_s:
                    raise
                if waited > SLOW_S and not said:
                    say(f"Ray is slow to start ({load()}): waiting {patience_s:g} s at most")
                    said = True
                time.sleep(0.2)

    services.get_node = awaited
    try:
        yield
    finally:
        services.get_node = asked


@contextlib.contextmanager
def in_their_own_group() -> Iterator[None]:
    """Start Ray's processes in process groups of their own, apart from this program's.

    `timeout` and a shell's `kill %1` send SIGTERM to a program's whole group.  In Ray 2.60 its
    server would end with it, and Ray's client ends this program with status 1 when it misses the
    server, at times before Python runs our own handler.  On Linux they still end with this program:
    Ray has the kernel tell them of its death.
    """
    ray_services: Any = services
    plain = ray_services.ConsolePopen
    ray_services.ConsolePopen = functools.partial(plain, process_group=0)
    try:
        yield
    finally:
        ray_services.ConsolePopen = plain


def default_folder() -> Path:
    """Where Ray keeps the files of its sessions unless it is told otherwise."""
    return Path(get_default_ray_temp_dir())


def has_token() -> bool:
    """Whether Ray finds a token for its own authentication, whether or not that is on."""
    return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def give_token(token: str) -> None:
    """Have Ray use this token, which is written nowhere."""
    os.environ["RAY_AUTH_TOKEN"] = token
    AuthenticationTokenLoader.instance().reset_cache()
