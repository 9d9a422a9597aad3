"""The file for `ray up` on hosts of one's own."""

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

V1 = "RAY_UP_enable_autoscaler_v2=0"
"""Ray 2.60's second autoscaler starts the head only when the hosts are one's own (ray#59905)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OnPremises:
    """Hosts that run already and let `user` in by SSH."""

    name: str
    head: str
    workers: tuple[str, ...]
    user: str

    key: str | None
    """A private key that opens every host; Ray copies it to the head, which starts the workers."""

    environment: str | None
    """A Python environment that every host sees at this path; None installs one on each."""

    cpus: int | None
    """CPU cores that Ray may use on each host; None is all."""

    def __post_init__(self) -> None:
        require_word("--name", self.name, r"[A-Za-z][A-Za-z0-9-]{0,62}", "letters, digits and -")
        for host in (self.head, *self.workers):
            require_host(host)
        twice = {host for host in self.workers if (self.head, *self.workers).count(host) > 1}
        if twice:
            raise InvalidInput(
                f"--workers names {min(twice)} twice, or it is the head: once is enough"
            )
        require_word("--user", self.user, r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "a login name")
        for option, path in (("--key", self.key), ("--environment", self.environment)):
            if path is not None:
                require_word(
                    option, path, r"[~/][A-Za-z0-9_.~+@/-]*", "an absolute path in plain letters"
                )
        if self.cpus is not None and self.cpus < 1:
            raise InvalidInput(f"--cpus {self.cpus} must be at least 1")


def require_host(host: str) -> None:
    """Raise InvalidInput unless `host` is an IPv4 address or a host name (RFC 1123)."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if len(host) > 253 or re.fullmatch(rf"{label}(\.{label})*", host) is None:
        raise InvalidInput(
            f"{host!r} is no host: give a name or an IPv4 address, without user, port or spaces"
        )
    if re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise InvalidInput(f"{host!r} is no IPv4 address: {error}") from error


def on_premises(hosts: OnPremises, ray_version: str) -> dict[str, Any]:
    """The content of the file for `ray up` with provider `local`.

    Raises InvalidInput when the project has to be installed and its source is not here.
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
# Every host needs Linux, rsync, {needs},
# and lets the user below in by SSH, from here and from the head. Keep strangers out of the hosts'
# network: the token keeps them out of Ray, but travels between the hosts unencrypted.
#
#   ray get-auth-token --generate > /dev/null && chmod 600 {token}   # once; hosts get a copy
#   {v1} ray up my-cluster.yaml     # without this only the head starts
#   ray exec my-cluster.yaml '{with_token} {environment}/bin/ray status'   # until all are there
#   ray dashboard my-cluster.yaml       # leave it open: http://localhost:8265, through SSH
#   export RAY_AUTH_MODE=token
#   ray job submit --address http://localhost:8265 --submission-id first --no-wait -- bash -c \\
#     '{environment}/bin/python -m search.run --address auto --out SHARED-FOLDER/first'
#   ray job logs --address http://localhost:8265 --follow first
#   python -m search.cluster down my-cluster.yaml     # `ray down` leaves the workers running
#
# Instead of SHARED-FOLDER, a bucket: every host needs its keys. Add to the lists below, before
# `ray up`, your own file with them, which S3 clients find by themselves:
#   file_mounts:
#     ~/.aws/credentials: ~/.aws/credentials
#   setup_commands:
#     - chmod 600 ~/.aws/credentials
# and give --out s3://BUCKET/first; for a server of your own, with the query
# '?endpoint_override=HOST:PORT&scheme=https' behind it, in quotes.
"""


def write_on_premises(hosts: OnPremises) -> str:
    """The whole file for hosts of one's own."""
    version = importlib.metadata.version("ray")
    given = hosts.environment is not None
    comment = _ON_PREMISES.format(
        needs="the environment below" if given else "Python 3.11 or newer with venv",
        token=TOKEN,
        v1=V1,
        with_token=WITH_TOKEN,
        environment=hosts.environment or INSTALLED,
    )
    return render(on_premises(hosts, version), comment)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m search.cluster local`."""
    add = parser.add_argument
    add("--head", required=True, metavar="HOST", help="name or IPv4 address; it runs trials too")
    add("--workers", required=True, metavar="HOST,HOST", help="the other hosts, by commas")
    add("--user", metavar="NAME", help="who may log in by SSH [you]")
    add(
        "--key",
        metavar="FILE",
        help="private SSH key for all hosts; Ray copies it to the head, which starts the workers "
        "with it [the keys that SSH finds, here and on the head]",
    )
    add(
        "--environment",
        metavar="DIR",
        help="a Python environment with this project and ray[default] that all hosts see at this "
        f"path; then nothing is installed [installs {INSTALLED} on each]",
    )
    add("--cpus", type=int, metavar="N", help="cores that Ray may use on each host [all]")
    add("--name", default="prune-privacy", metavar="NAME", help="of the cluster [prune-privacy]")
