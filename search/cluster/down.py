"""The end of Ray on every host of a file for hosts of one's own."""

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
"""A host that lives answers ssh within this."""

SSH_AT_ONCE = 16

STOP_S = 180
"""`ray stop` waits for each kind of process before it kills; it is asked twice."""

NONE_LEFT = "Did not find any active Ray processes"
"""What `ray stop` says when there is nothing to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """What ends Ray on one host."""

    host: str
    user: str
    key: str | None
    command: str
    """Of the cluster's file, which `ray up` runs too."""

    def words(self) -> list[str]:
        """The ssh command; it asks nothing, and refuses a host whose key has changed."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=accept-new", f"ConnectTimeout={SSH_S}"]
        key = []
        if self.key is not None:
            key = ["-i", os.path.expanduser(self.key)]  # noqa: PTH111 - Path raises at ~nobody/key
        flags = [word for option in options for word in ("-o", option)]
        twice = f"{self.command} >/dev/null 2>&1; {self.command} 2>&1"
        return ["ssh", *flags, *key, "--", f"{self.user}@{self.host}", twice]

    def run(self) -> str | None:
        """Stop Ray there, then ask again what is left; None when nothing is, else the reason."""
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
        return lines[-1] if lines else f"ssh ended with status {done.returncode}"


def stops(path: Path) -> list[Stop]:
    """How to end the cluster of a file, its head first: that one starts lost workers again.

    Raises InvalidInput when the file is not one for hosts of one's own.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        provider, auth = values["provider"], dict(values["auth"])
        if provider["type"] != "local":
            raise InvalidInput(f"{path} is for {provider['type']}: end it with `ray down {path}`")
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
        cause = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{path} is no file of `search.cluster local`: {cause}") from error
    pairs = [(head, first), *((worker, then) for worker in workers)]
    return [Stop(host=host, user=user, key=key, command=command) for host, command in pairs]


_UNREADABLE = (  # what PyYAML raises for values that contradict their tags, and we for others
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    yaml.YAMLError,
)


def _text(value: object, name: str) -> str:
    """`value`, which a command line can hold. Raises TypeError, ValueError otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} is no text")
    if "\0" in value:
        raise ValueError(f"{name} holds a zero byte")
    value.encode()  # half a surrogate pair
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return value


def down(path: Path) -> int:
    """Stop Ray on every host of the file; 1 when that cannot be said of one."""
    head, *workers = stops(path)
    if shutil.which("ssh") is None:
        raise InvalidInput("there is no ssh here: install an SSH client")
    reasons = [head.run()]
    with concurrent.futures.ThreadPoolExecutor(max_workers=SSH_AT_ONCE) as pool:
        reasons += pool.map(Stop.run, workers)
    for stop, reason in zip([head, *workers], reasons, strict=True):
        print(f"{stop.host}: {'stopped' if reason is None else f'NOT STOPPED: {reason}'}")
    return OK if reasons.count(None) == len(reasons) else FAULT
