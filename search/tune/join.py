"""Joins the Ray cluster that a run works on, or starts one on this machine."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

from search.tune.local_ray import start_local
from search.tune.resources import Nodes
from trainables.base.errors import InvalidInput

log = logging.getLogger(__name__)

KNOCK_S = 10.0
"""Seconds within which a head node that lives answers."""

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own table; ours is search/tune/progress.py
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger holds the results
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # its handler marks running trials ended: not resumable
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",  # they follow checkpoints
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",  # checked below, before anything starts
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Shared.device decides; Ray's default will change
}


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
    """Settings for `ray.init`: it prints nothing; workers import from a checkout that we run in.

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
        # Ray's whole dashboard is ten processes more, which import for as long as a small run works
        start_local(say, include_dashboard=False, **_settings())
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
