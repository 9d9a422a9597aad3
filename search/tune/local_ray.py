"""Starts Ray on this machine, however busy it is and whoever uses it, too.

Only what belongs to this program is touched: another Ray, its files and its token stay as they are.
"""

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from search.tune.repairs import (
    default_folder,
    end_half_started,
    give_token,
    has_token,
    in_their_own_group,
    load,
    raylet_awaited,
)

START_S = 180.0
"""Seconds that each part of Ray is waited for; its own 30 are too few for two cores with a load of
7, where a start was measured to take longer."""

_PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": f"{START_S:.0f}",
    "RAY_agent_register_timeout_ms": f"{1000 * START_S:.0f}",
    "RAY_worker_register_timeout_seconds": f"{START_S:.0f}",
}

Say = Callable[[str], None]


class RayNotStarted(RuntimeError):
    """Ray has not started, twice; the message is one line."""


def start_local(say: Say, **options: Any) -> None:
    """Start a Ray of our own on this machine; a second time where the first came to nothing.

    options: of `ray.init`.  Raises OSError or ValueError for folders and addresses that cannot be
    used, and RayNotStarted.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _PATIENCE.items()})
    os.environ.pop("RAY_ADDRESS", None)  # of another cluster; nothing that we start is to join it
    _bring_token()
    for attempt in (1, 2):
        try:
            with raylet_awaited(START_S, say), in_their_own_group():
                ray.init(address="local", _temp_dir=_own_folder(), **options)
        except Exception as error:
            if isinstance(error, OSError | ValueError) and not isinstance(error, ConnectionError):
                raise  # no second try mends a folder or a number
            end_half_started(error)
            cause = " ".join(str(error).split())
            if attempt == 2:
                raise RayNotStarted(
                    f"Ray has not started on this machine, tried twice ({load()}): {cause}; run "
                    "it again when the machine is less busy, or with --address on a cluster"
                ) from error
            say(f"Ray has not started ({load()}: {cause}): trying once more")
        else:
            return


def _own_folder() -> str | None:
    """Where Ray's files go: None is its default, which may be another user's.

    Whoever owns that could replace what is in it, and with it what our workers run.
    """
    default = default_folder()
    if not default.exists():
        return None
    if default.stat().st_uid == os.geteuid() and os.access(default, os.W_OK | os.X_OK):
        return None
    return tempfile.mkdtemp(prefix="ray-", dir=default.parent)


def _bring_token() -> None:
    """Where HOME cannot keep Ray's token, one that is kept nowhere and ends with the program."""
    if not has_token() and not _home_can_be_written():
        give_token(secrets.token_hex(32))


def _home_can_be_written() -> bool:
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):  # RuntimeError: the user has no home at all
        return False
