"""What the files of all clusters share: the commands that install the project and start Ray.

cluster.yaml, for AWS, has the same commands; a test compares them word for word.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from trainables.base.errors import InvalidInput

INSTALLED = "~/ray-env"
"""Where the set-up commands make the environment on every host."""

TOKEN = "~/.ray/auth_token"
WITH_TOKEN = "export RAY_AUTH_MODE=token;"
"""Every command is a shell of its own, so each turns on token authentication itself."""

PORT = 6379

JOB_STOP_S = 40
"""`ray job stop` kills after this; by default after 3 s, before trials could write checkpoints."""

SOURCES = (
    "analysis",
    "search",
    "trainables",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
)
"""What of a checkout travels to the hosts."""

CHECKOUT = Path(__file__).resolve().parents[2]

PROTECT_TOKEN = (f"chmod 600 {TOKEN}",)

_APT_GET = "apt-get -o DPkg::Lock::Timeout=300"
SYSTEM_PACKAGES = (
    f"sudo {_APT_GET} update",
    f"sudo DEBIAN_FRONTEND=noninteractive {_APT_GET} install -y python3-venv",
)
"""For machines that a cloud has just made."""

ACTIVATE = (
    "grep -q ray-env ~/.bashrc || "
    f"echo '{WITH_TOKEN} source {INSTALLED}/bin/activate' >> ~/.bashrc",
)
"""For `ray exec` and `ray attach` on machines that belong to the cluster alone."""


def install_commands(ray_version: str, *extras: str) -> tuple[str, ...]:
    """The environment, the project and the whole Ray; the second time they find all done."""
    ray = f'"ray[default]=={ray_version}"'
    return (
        f"test -x {INSTALLED}/bin/python || python3 -m venv {INSTALLED}",
        f"{INSTALLED}/bin/pip install -c ~/prune-privacy/constraints.txt -e ~/prune-privacy",
        " ".join([f"{INSTALLED}/bin/pip install {ray}", *extras]),
    )


def stop_command(environment: str) -> str:
    """Stop every Ray process of the user on a host."""
    return f"{WITH_TOKEN} {environment}/bin/ray stop"


def start_command(environment: str, *options: str) -> str:
    """Start Ray on a host."""
    return " ".join(
        [WITH_TOKEN, "ulimit -n 65536;", f"{environment}/bin/ray start", *options],
    )


def head_commands(environment: str, *options: str) -> list[str]:
    """Stop and start the head; its dashboard listens on its own loopback only."""
    head = ("--head", f"--port={PORT}", "--autoscaling-config=~/ray_bootstrap_config.yaml")
    start = start_command(environment, *head, "--dashboard-host=127.0.0.1", *options)
    patience = f"RAY_JOB_STOP_WAIT_TIME_S={JOB_STOP_S}"
    return [stop_command(environment), start.replace("ulimit", f"export {patience}; ulimit", 1)]


def worker_commands(environment: str, *options: str, spot: bool = False) -> list[str]:
    """Stop and start a worker.  spot: it is one of AWS's, which give notice."""
    start = start_command(environment, f"--address=$RAY_HEAD_IP:{PORT}", *options)
    commands = [stop_command(environment), start]
    if spot:
        watch = f"setsid nohup {environment}/bin/python -m search.spot"
        commands.append(f"{WITH_TOKEN} {watch} < /dev/null > ~/spot.log 2>&1 &")
    return commands


def sources(root: Path = CHECKOUT) -> dict[str, str]:
    """Path on a host -> path here of the project's code, and nothing else of its folder."""
    absent = [name for name in SOURCES if not (root / name).exists()]
    if absent:
        raise InvalidInput(
            f"{root} has no {absent[0]}, so it cannot be copied to the hosts: run this from a "
            "checkout of the project, or give --environment with one that all hosts see"
        )
    return {f"~/prune-privacy/{name}": str(root / name) for name in SOURCES}


def render(cluster: dict[str, Any], comment: str) -> str:
    """The file's text: the comment, then the content in its own order."""
    body: str = yaml.safe_dump(cluster, sort_keys=False, width=100)
    return f"{comment}\n{body}"


def require_word(option: str, value: str, pattern: str, what: str) -> None:
    """Raise InvalidInput, with `what` is expected, unless `value` matches the whole pattern."""
    if re.fullmatch(pattern, value) is None:
        raise InvalidInput(f"{option} {value!r} is not {what}")
