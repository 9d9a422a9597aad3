"""Stops Ray on every host of a cluster file that `python -m search.cluster local` printed."""

import concurrent.futures
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from search.cluster.hosts import require_host
from trainables.base.errors import InvalidInput

OK, FAULT = 0, 1

SSH_S = 20
"""Seconds that ssh waits for a host to accept the connection."""

SSH_AT_ONCE = 16
"""The number of workers that are stopped at the same time."""

STOP_S = 180
"""Seconds that stopping one host may take.

Each host runs `ray stop` twice, and each time it waits for the processes before it kills them.
"""

END_SSH = "pkill -f '[/]tmp/ray_ssh_'"
"""Ends the connections through which a head's autoscaler may be starting Ray on a worker again.

They survive `ray stop`. The brackets keep the pattern from matching the shell that runs it."""

NONE_LEFT = "Did not find any active Ray processes"
"""What `ray stop` prints when it finds nothing to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """How to stop Ray on one host."""

    host: str
    """The host name or IPv4 address."""

    user: str
    """The login name on the host."""

    key: str | None
    """The private SSH key to use; None leaves the choice to SSH."""

    command: str
    """The `ray stop` command from the cluster file, which `ray up` runs there too."""

    def words(self) -> list[str]:
        """Return the ssh command; it asks no questions and refuses a host whose key changed."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=accept-new", f"ConnectTimeout={SSH_S}"]
        key = []
        if self.key is not None:
            key = ["-i", os.path.expanduser(self.key)]  # noqa: PTH111 - Path raises at ~nobody/key
        flags = [word for option in options for word in ("-o", option)]
        twice = f"{self.command} >/dev/null 2>&1; {END_SSH} >/dev/null 2>&1; {self.command} 2>&1"
        return ["ssh", *flags, *key, "--", f"{self.user}@{self.host}", twice]

    def run(self) -> str | None:
        """Stop Ray on the host and check that nothing is left of it.

        Returns None when nothing is left, and otherwise why Ray may still be running.
        """
        try:
            done = subprocess.run(
                self.words(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=STOP_S,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {STOP_S} s"
        if done.returncode == 0 and NONE_LEFT in done.stdout:
            return None
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        return lines[-1] if lines else f"ssh exited with status {done.returncode}"


def stops(path: Path) -> list[Stop]:
    """Return how to stop each host of a cluster file, the head first: it would restart its workers.

    Raises InvalidInput when `path` is not a cluster file for your own hosts.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        provider, auth = values["provider"], dict(values["auth"])
        if provider["type"] != "local":
            raise InvalidInput(
                f"{path} is for provider {provider['type']}: use `ray down {path}` to stop it"
            )
        user = _text(auth["ssh_user"], "ssh_user")
        key = auth.get("ssh_private_key")
        key = None if key is None else _text(key, "ssh_private_key")
        head, *workers = [provider["head_ip"], *_list(provider["worker_ips"], "worker_ips")]
        first, then = (
            _text(_list(values[name], name)[0], name)
            for name in ("head_start_ray_commands", "worker_start_ray_commands")
        )
        for host in (head, *workers):
            require_host(host)
    except _UNREADABLE as error:
        if isinstance(error, InvalidInput):
            raise
        if isinstance(error, OSError):
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
        cause = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{path} is not a cluster file for your own hosts: {cause}") from error
    pairs = [(head, first), *((worker, then) for worker in workers)]
    return [Stop(host=host, user=user, key=key, command=command) for host, command in pairs]


_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    yaml.YAMLError,
)
"""What reading any file can raise; PyYAML raises some of these for a value unlike its tag."""


def _text(value: object, name: str) -> str:
    """Return `value` if a command line can hold it; raise TypeError or ValueError otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} must be text")
    if "\0" in value:
        raise ValueError(f"{name} contains a zero byte")
    value.encode()  # fails at half a surrogate pair
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list")
    return value


def down(path: Path) -> int:
    """Stop Ray on every host of the file; return 1 unless every one of them has stopped."""
    head, *workers = stops(path)
    if shutil.which("ssh") is None:
        raise InvalidInput("ssh was not found: install an SSH client")
    reasons = [head.run()]
    with concurrent.futures.ThreadPoolExecutor(max_workers=SSH_AT_ONCE) as pool:
        reasons += pool.map(Stop.run, workers)
    for stop, reason in zip([head, *workers], reasons, strict=True):
        print(f"{stop.host}: {'stopped' if reason is None else f'NOT STOPPED: {reason}'}")
    return OK if reasons.count(None) == len(reasons) else FAULT
