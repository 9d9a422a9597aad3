"""What all cluster files share: the commands that install the project and start and stop Ray.

cluster.yaml, the file for AWS, contains the same commands; a test compares them word for word.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from trainables.base.errors import InvalidInput

INSTALLED = "~/ray-env"
"""The Python environment that the set-up commands create on every host."""

TOKEN = "~/.ray/auth_token"
"""The file that holds the cluster's token, here and on every host."""

WITH_TOKEN = "export RAY_AUTH_MODE=token;"
"""Turns on token authentication. Every command runs in its own shell and so begins with this."""

PORT = 6379
"""The head's port, which workers connect to; Ray's default."""

JOB_STOP_S = 40
"""Seconds that `ray job stop` waits before it kills the job.

Ray's default of 3 s leaves running trials too little time to write their checkpoints.
"""

SOURCES = (
    "analysis",
    "search",
    "trainables",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
)
"""The files and folders of a checkout that `ray up` copies to the hosts."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds this project's packages."""

PROTECT_TOKEN = (f"chmod 600 {TOKEN}",)
"""Lets nobody but its owner read the token's copy on a host."""

_APT_GET = "apt-get -o DPkg::Lock::Timeout=300"
SYSTEM_PACKAGES = (
    f"sudo {_APT_GET} update",
    f"sudo DEBIAN_FRONTEND=noninteractive {_APT_GET} install -y python3-venv",
)
"""Installs what a newly created cloud machine lacks."""

ACTIVATE = (
    "grep -q ray-env ~/.bashrc || "
    f"echo '{WITH_TOKEN} source {INSTALLED}/bin/activate' >> ~/.bashrc",
)
"""Activates the environment in every shell that `ray exec` or `ray attach` opens.

It edits ~/.bashrc, so it is only for machines that serve nothing but the cluster.
"""


def install_commands(ray_version: str, *extras: str) -> tuple[str, ...]:
    """Return the commands that create the environment and install the project and all of Ray.

    Running them again on the same host is safe: they keep what is already in place.

    ray_version: the exact version of Ray.  extras: further packages to install beside it.
    """
    ray = f'"ray[default]=={ray_version}"'
    return (
        f"test -x {INSTALLED}/bin/python || python3 -m venv {INSTALLED}",
        f"{INSTALLED}/bin/pip install -c ~/prune-privacy/constraints.txt -e ~/prune-privacy",
        " ".join([f"{INSTALLED}/bin/pip install {ray}", *extras]),
    )


def stop_command(environment: str) -> str:
    """Return the command that stops all of the user's Ray processes on a host."""
    return f"{WITH_TOKEN} {environment}/bin/ray stop"


def start_command(environment: str, *options: str) -> str:
    """Return the command that starts Ray on a host, with `options` for `ray start`."""
    return " ".join(
        [WITH_TOKEN, "ulimit -n 65536;", f"{environment}/bin/ray start", *options],
    )


def head_commands(environment: str, *options: str) -> list[str]:
    """Return the commands that restart Ray on the head, with its dashboard on loopback only."""
    head = ("--head", f"--port={PORT}", "--autoscaling-config=~/ray_bootstrap_config.yaml")
    start = start_command(environment, *head, "--dashboard-host=127.0.0.1", *options)
    patience = f"RAY_JOB_STOP_WAIT_TIME_S={JOB_STOP_S}"
    return [stop_command(environment), start.replace("ulimit", f"export {patience}; ulimit", 1)]


def worker_commands(environment: str, *options: str, spot: bool = False) -> list[str]:
    """Return the commands that restart Ray on a worker.

    spot: the worker is an AWS spot machine, so `search.spot` watches for its interruption notice.
    """
    start = start_command(environment, f"--address=$RAY_HEAD_IP:{PORT}", *options)
    commands = [stop_command(environment), start]
    if spot:
        watch = f"setsid nohup {environment}/bin/python -m search.spot"
        commands.append(f"{WITH_TOKEN} {watch} < /dev/null > ~/spot.log 2>&1 &")
    return commands


def sources(root: Path = CHECKOUT) -> dict[str, str]:
    """Return the project's code as a map from the path on a host to the path on this machine.

    Raises InvalidInput when `root` is not a whole checkout.
    """
    absent = [name for name in SOURCES if not (root / name).exists()]
    if absent:
        raise InvalidInput(
            f"{root} lacks {absent[0]}, which has to be copied to the hosts: run this from a "
            "checkout of the project, or give an --environment that every host sees"
        )
    return {f"~/prune-privacy/{name}": str(root / name) for name in SOURCES}


def render(cluster: dict[str, Any], comment: str) -> str:
    """Return the text of a cluster file: the comment, then the content as YAML in its own order."""
    body: str = yaml.safe_dump(cluster, sort_keys=False, width=100)
    return f"{comment}\n{body}"


def require_word(option: str, value: str, pattern: str, what: str) -> None:
    """Raise InvalidInput, saying what `value` must be, unless all of it matches `pattern`."""
    if re.fullmatch(pattern, value) is None:
        raise InvalidInput(f"{option} {value!r} must be {what}")
