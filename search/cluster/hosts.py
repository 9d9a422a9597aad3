"""Writes the cluster file for hosts of your own, which Ray calls provider `local`."""

import argparse
import dataclasses
import importlib.metadata
import ipaddress
import re
from typing import Any

from search.cluster.commands import (
    INSTALLED,
    PROTECT_TOKEN,
    TOKEN,
    WITH_TOKEN,
    head_commands,
    install_commands,
    render,
    require_word,
    sources,
    worker_commands,
)
from trainables.base.errors import InvalidInput

FIRST_AUTOSCALER = "RAY_UP_enable_autoscaler_v2=0"
"""Makes `ray up` use Ray's first autoscaler.

The second one, the default of Ray 2.60, starts only the head of your own hosts (ray#59905).
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OnPremises:
    """A cluster of hosts that are already running and that `user` can log in to by SSH."""

    name: str
    """The name of the cluster."""

    head: str
    """The host name or IPv4 address of the head, which runs trials too."""

    workers: tuple[str, ...]
    """The host names or IPv4 addresses of the other hosts."""

    user: str
    """The login name on every host."""

    key: str | None
    """A private SSH key that every host accepts; None leaves the choice to SSH.

    Ray copies it to the head, which logs in to the workers to start them.
    """

    environment: str | None
    """A Python environment that every host sees at this path; None installs one on each host."""

    cpus: int | None
    """The number of CPU cores that Ray may use on each host; None means all of them."""

    def __post_init__(self) -> None:
        require_word(
            "--name",
            self.name,
            r"[A-Za-z][A-Za-z0-9-]{0,62}",
            "letters, digits and hyphens, a letter first",
        )
        for host in (self.head, *self.workers):
            require_host(host)
        twice = {host for host in self.workers if (self.head, *self.workers).count(host) > 1}
        if twice:
            raise InvalidInput(
                f"--workers names {min(twice)} twice, or names the head: list each host once"
            )
        require_word("--user", self.user, r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "a login name")
        for option, path in (("--key", self.key), ("--environment", self.environment)):
            if path is not None:
                require_word(
                    option,
                    path,
                    r"[~/][A-Za-z0-9_.~+@/-]*",
                    "a path that begins with / or ~, without spaces or quotes",
                )
        if self.cpus is not None and self.cpus < 1:
            raise InvalidInput(f"--cpus {self.cpus} must be at least 1")


def require_host(host: str) -> None:
    """Raise InvalidInput unless `host` is an IPv4 address or a host name (RFC 1123)."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if len(host) > 253 or re.fullmatch(rf"{label}(\.{label})*", host) is None:
        raise InvalidInput(
            f"{host!r} is not a host: give a host name or an IPv4 address, without user, port or "
            "spaces"
        )
    if re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise InvalidInput(f"{host!r} is not an IPv4 address: {error}") from error


def on_premises(hosts: OnPremises, ray_version: str) -> dict[str, Any]:
    """Return the content of the cluster file.

    Raises InvalidInput when the project has to be installed but its source is not on this machine.
    """
    environment = hosts.environment or INSTALLED
    given = hosts.environment is not None
    limit = () if hosts.cpus is None else (f"--num-cpus={hosts.cpus}",)
    key = {} if hosts.key is None else {"ssh_private_key": hosts.key}
    return {
        "cluster_name": hosts.name,
        "max_workers": len(hosts.workers),
        "provider": {
            "type": "local",
            "head_ip": hosts.head,
            "worker_ips": list(hosts.workers),
        },
        "auth": {"ssh_user": hosts.user, **key},
        "file_mounts": {TOKEN: TOKEN} if given else {**sources(), TOKEN: TOKEN},
        "rsync_exclude": ["**/__pycache__"],
        "setup_commands": [*PROTECT_TOKEN, *(() if given else install_commands(ray_version))],
        "head_start_ray_commands": head_commands(environment, *limit),
        "worker_start_ray_commands": worker_commands(environment, *limit),
    }


_ON_PREMISES = """\
# Ray on hosts of your own, written by `python -m search.cluster local`.
#
# Every host needs Linux, rsync and {needs}.
# The user below must be able to log in to it by SSH, from this machine and from the head.
# Keep strangers out of the hosts' network: the token keeps them out of Ray, but it travels between
# the hosts unencrypted.
#
#   ray get-auth-token --generate > /dev/null && chmod 600 {token}   # once; hosts get a copy
#   {first_autoscaler} ray up my-cluster.yaml     # without the variable only the head starts
#   ray exec my-cluster.yaml '{with_token} {environment}/bin/ray status'   # until all are listed
#   ray dashboard my-cluster.yaml       # keep it running: http://localhost:8265, through SSH
#   export RAY_AUTH_MODE=token
#   ray job submit --address http://localhost:8265 --submission-id first --no-wait -- bash -c \\
#     '{environment}/bin/python -m search.run --address auto --out SHARED-FOLDER/first'
#   ray job logs --address http://localhost:8265 --follow first
#   python -m search.cluster down my-cluster.yaml     # `ray down` leaves the workers running
#
# SHARED-FOLDER is a folder that every host sees at the same path. A bucket works too, if every host
# has its keys. To copy your own key file to where S3 clients look for it, add this to the lists
# below before `ray up`:
#   file_mounts:
#     ~/.aws/credentials: ~/.aws/credentials
#   setup_commands:
#     - chmod 600 ~/.aws/credentials
# and use --out s3://BUCKET/first. For an S3 server of your own, append
# '?endpoint_override=HOST:PORT&scheme=https' to it, in quotes.
"""


def write_on_premises(hosts: OnPremises) -> str:
    """Return the text of the whole cluster file, with instructions at its top."""
    version = importlib.metadata.version("ray")
    given = hosts.environment is not None
    comment = _ON_PREMISES.format(
        needs="the Python environment below" if given else "Python 3.11 or newer with venv",
        token=TOKEN,
        first_autoscaler=FIRST_AUTOSCALER,
        with_token=WITH_TOKEN,
        environment=hosts.environment or INSTALLED,
    )
    return render(on_premises(hosts, version), comment)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m search.cluster local`."""
    add = parser.add_argument
    add(
        "--head",
        required=True,
        metavar="HOST",
        help="the head's name or IPv4 address; it runs trials too",
    )
    add(
        "--workers", required=True, metavar="HOST,HOST", help="the other hosts, separated by commas"
    )
    add("--user", metavar="NAME", help="login name on the hosts [your own]")
    add(
        "--key",
        metavar="FILE",
        help="private SSH key that every host accepts; Ray copies it to the head, which uses it to "
        "start the workers [the keys that SSH finds by itself, here and on the head]",
    )
    add(
        "--environment",
        metavar="DIR",
        help="existing Python environment with this project and ray[default], which every host "
        f"sees at this path [install one on each host, at {INSTALLED}]",
    )
    add("--cpus", type=int, metavar="N", help="CPU cores that Ray may use on each host [all]")
    add(
        "--name",
        default="prune-privacy",
        metavar="NAME",
        help="name of the cluster [prune-privacy]",
    )
