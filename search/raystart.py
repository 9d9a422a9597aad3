"""Starts Ray on this machine, however busy it is and whoever uses it, too.

Only what belongs to this program is touched: another Ray, its files and its token stay as they are.
"""

import contextlib
import os
import secrets
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services
from ray._private.node import Node
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # not in its stub

START_S = 180
"""Each part of Ray is waited for this long; its own 30 s are too few for two cores with a load of
7, where a start was measured to take longer."""

SLOW_S = 20.0
"""After this it is said that Ray is waited for; on an idle machine it takes 3 s."""

_PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": str(START_S),
    "RAY_agent_register_timeout_ms": str(1000 * START_S),
    "RAY_worker_register_timeout_seconds": str(START_S),
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
            with _raylet_awaited(say):
                ray.init(address="local", _temp_dir=_own_folder(), **options)
        except Exception as error:
            if isinstance(error, OSError | ValueError) and not isinstance(error, ConnectionError):
                raise  # no second try mends a folder or a number
            _clean_up(error)
            cause = " ".join(str(error).split())
            if attempt == 2:
                raise RayNotStarted(
                    f"Ray has not started on this machine, tried twice ({_load()}): {cause}; run "
                    "it again when the machine is less busy, or with --address on a cluster"
                ) from error
            say(f"Ray has not started ({_load()}: {cause}): trying once more")
        else:
            return


def _load() -> str:
    """How busy the machine is, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _clean_up(error: Exception) -> None:
    """End the processes of a node that came half up: Ray forgets them where its start fails."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node: Any = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False)
    ray.shutdown()


@contextlib.contextmanager
def _raylet_awaited(say: Say) -> Iterator[None]:
    """Give the raylet START_S to register, where Ray 2.60 gives it 30 s that no setting changes."""
    asked: Any = services.get_node

    def awaited(*where: Any) -> Any:  # noqa: ANN401 - Ray's signature
        began, said = time.monotonic(), False
        while True:
            try:
                return asked(*where)
            except RuntimeError:  # not there yet
                waited = time.monotonic() - began
                if waited > START_S:
                    raise
                if waited > SLOW_S and not said:
                    say(f"Ray is slow to start ({_load()}): waiting {START_S} s at most")
                    said = True
                time.sleep(0.2)

    services.get_node = awaited
    try:
        yield
    finally:
        services.get_node = asked


def _own_folder() -> str | None:
    """Where Ray's files go: None is its default, which may be another user's.

    Whoever owns that could replace what is in it, and with it what our workers run.
    """
    default = Path(get_default_ray_temp_dir())
    if not default.exists():
        return None
    if default.stat().st_uid == os.geteuid() and os.access(default, os.W_OK | os.X_OK):
        return None
    return tempfile.mkdtemp(prefix="ray-", dir=default.parent)


def _bring_token() -> None:
    """Where HOME cannot keep Ray's token, one that is kept nowhere and ends with the program."""
    tokens = AuthenticationTokenLoader.instance()
    if tokens.has_token(ignore_auth_mode=True) or _home_can_be_written():
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    tokens.reset_cache()


def _home_can_be_written() -> bool:
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):  # RuntimeError: the user has no home at all
        return False
