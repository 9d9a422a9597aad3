"""`python -m search.cluster`: files for `ray up` on own hosts or Google Cloud, and their end.

The commands that install the project and start Ray stand here; cluster.yaml, for AWS, has the same
ones, and a test compares them word for word.
"""

import argparse
import concurrent.futures
import dataclasses
import getpass
import importlib.metadata
import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from trainables.base.commandline import as_command
from trainables.base.errors import InvalidInput, one_line

OK, FAULT, BAD_INPUT = 0, 1, 2

INSTALLED = "~/ray-env"
"""Where the set-up commands make the environment on every host."""

TOKEN = "~/.ray/auth_token"
WITH_TOKEN = "export RAY_AUTH_MODE=token;"
"""Every command is a shell of its own, so each turns on token authentication itself."""

V1 = "RAY_UP_enable_autoscaler_v2=0"
"""Ray 2.60's second autoscaler starts the head only when the hosts are one's own (ray#59905)."""

PORT = 6379
SSH_S = 20
"""A host that lives answers ssh within this."""

SSH_AT_ONCE = 16

JOB_STOP_S = 40
"""`ray job stop` kills after this; by default after 3 s, before trials could write checkpoints."""

STOP_S = 180
"""`ray stop` waits for each kind of process before it kills; it is asked twice."""

NONE_LEFT = "Did not find any active Ray processes"
"""What `ray stop` says when there is nothing to stop."""

RAYS_ACCOUNT = "ray-autoscaler-sa-v1"
"""The service account that `ray up` makes in a project and gives to the head alone."""

STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""Of a worker: it reads and writes buckets, and cannot start machines as the head can."""

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
        _require_word("--name", self.name, r"[A-Za-z][A-Za-z0-9-]{0,62}", "letters, digits and -")
        for host in (self.head, *self.workers):
            require_host(host)
        twice = {host for host in self.workers if (self.head, *self.workers).count(host) > 1}
        if twice:
            raise InvalidInput(
                f"--workers names {min(twice)} twice, or it is the head: once is enough"
            )
        _require_word("--user", self.user, r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "a login name")
        for option, path in (("--key", self.key), ("--environment", self.environment)):
            if path is not None:
                _require_word(
                    option, path, r"[~/][A-Za-z0-9_.~+@/-]*", "an absolute path in plain letters"
                )
        if self.cpus is not None and self.cpus < 1:
            raise InvalidInput(f"--cpus {self.cpus} must be at least 1")


_G2_GPUS = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}
"""Cores of a g2-standard machine -> its L4."""

_A_CORES = {"a2-highgpu": 12, "a2-ultragpu": 12, "a3-highgpu": 26}
"""Cores for each A100 or H100."""


def google_machine(kind: str) -> dict[str, int]:
    """CPUs and GPUs of a machine type of Google Cloud; Ray's launcher looks up neither there.

    >>> google_machine("g2-standard-24")
    {'CPU': 24, 'GPU': 2}

    Raises InvalidInput for a type that is not known here.
    """
    family, _, size = kind.rpartition("-")
    number = re.fullmatch(r"(\d{1,2})(g?)", size)
    if number is not None:
        count, shared_out = int(number[1]), number[2] == "g"
        if family == "g2-standard" and not shared_out and count in _G2_GPUS:
            return {"CPU": count, "GPU": _G2_GPUS[count]}
        if family in _A_CORES and shared_out and count in (1, 2, 4, 8):
            return {"CPU": _A_CORES[family] * count, "GPU": count}
    raise InvalidInput(
        f"--machine {kind!r} is no type whose cores and GPUs are known here: choose g2-standard-N "
        f"or one of {', '.join(f'{name}-Ng' for name in _A_CORES)}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GoogleCloud:
    """A head without a GPU and spot workers with one each, on Google Cloud."""

    name: str
    project: str
    zone: str
    subnet: str
    worker_image: str
    machine: str
    max_workers: int

    def __post_init__(self) -> None:
        word = r"[a-z][a-z0-9-]{0,62}"
        _require_word("--name", self.name, word, "small letters, digits and -")
        _require_word("--project", self.project, word, "a project id")
        _require_word("--zone", self.zone, r"[a-z]+-[a-z]+\d+-[a-z]", "as us-central1-a")
        _require_word("--subnet", self.subnet, word, "the name of a subnet")
        google_machine(self.machine)
        _require_word(
            "--worker-image",
            self.worker_image,
            r"projects/[a-z0-9./-]+",
            "as projects/P/global/images/I",
        )
        if self.max_workers < 1:
            raise InvalidInput(f"--max-workers {self.max_workers} must be at least 1")


def _require_word(option: str, value: str, pattern: str, what: str) -> None:
    if re.fullmatch(pattern, value) is None:
        raise InvalidInput(f"{option} {value!r} is not {what}")


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


def google_cloud(cloud: GoogleCloud, ray_version: str) -> dict[str, Any]:
    """The content of the file for `ray up` with provider `gcp`."""
    region = cloud.zone.rpartition("-")[0]
    subnet = f"projects/{cloud.project}/regions/{region}/subnetworks/{cloud.subnet}"

    def machine(kind: str, image: str, gigabytes: int) -> dict[str, Any]:
        drive = f"zones/{cloud.zone}/diskTypes/pd-balanced"  # G2 takes no pd-standard
        disk = {"diskSizeGb": gigabytes, "sourceImage": image, "diskType": drive}
        boot = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": disk}
        outside = {"name": "External NAT", "type": "ONE_TO_ONE_NAT"}
        network = {"subnetwork": subnet, "accessConfigs": [outside]}
        return {"machineType": kind, "disks": [boot], "networkInterfaces": [network]}

    ubuntu = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
    spot = {"scheduling": [{"preemptible": True}, {"onHostMaintenance": "TERMINATE"}]}
    account = {"email": f"{RAYS_ACCOUNT}@{cloud.project}.iam.gserviceaccount.com"}
    bucket = {"serviceAccounts": [{**account, "scopes": [STORAGE_SCOPE]}]}
    return {
        "cluster_name": cloud.name,
        "max_workers": cloud.max_workers,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "gcp",
            "project_id": cloud.project,
            "region": region,
            "availability_zone": cloud.zone,
            "cache_stopped_nodes": False,
        },
        "auth": {"ssh_user": "ubuntu"},
        "available_node_types": {
            "head": {
                "resources": {"CPU": 0, "GPU": 0},
                "node_config": machine("n2-standard-2", ubuntu, 60),
            },
            "gpu_worker": {
                "min_workers": 0,
                "max_workers": cloud.max_workers,
                "resources": google_machine(cloud.machine),
                "node_config": {
                    **machine(cloud.machine, cloud.worker_image, 100),
                    **bucket,
                    **spot,
                },
            },
        },
        "head_node_type": "head",
        "file_mounts": {**sources(), TOKEN: TOKEN},
        "rsync_exclude": ["**/__pycache__"],
        "setup_commands": [
            *PROTECT_TOKEN,
            *SYSTEM_PACKAGES,
            *install_commands(
                ray_version, "google-api-python-client", "google-auth", "cryptography"
            ),
            *ACTIVATE,
        ],
        "head_start_ray_commands": head_commands(INSTALLED),
        "worker_start_ray_commands": worker_commands(INSTALLED),
    }


def sources(root: Path = CHECKOUT) -> dict[str, str]:
    """Path on a host -> path here of the project's code, and nothing else of its folder."""
    absent = [name for name in SOURCES if not (root / name).exists()]
    if absent:
        raise InvalidInput(
            f"{root} has no {absent[0]}, so it cannot be copied to the hosts: run this from a "
            "checkout of the project, or give --environment with one that all hosts see"
        )
    return {f"~/prune-privacy/{name}": str(root / name) for name in SOURCES}


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

_GOOGLE_CLOUD = """\
# Ray on Google Cloud, written by `python -m search.cluster gcp`: a small head without a GPU, spot
# GPU workers that come and go with the search.
#
# NOT YET RUN ON GOOGLE CLOUD. It fits Ray's schema, and its commands are those of cluster.yaml; no
# one has started these machines with it yet.
#
# The subnet is a closed one of your own: Google's default network lets the world in by SSH.
#   gcloud compute networks create {subnet} --subnet-mode custom
#   gcloud compute networks subnets create {subnet} --network {subnet} --region {region} \\
#     --range 10.10.0.0/20
#   gcloud compute firewall-rules create {subnet}-inside --network {subnet} --allow all \\
#     --source-ranges 10.10.0.0/20
#   gcloud compute firewall-rules create {subnet}-ssh --network {subnet} --allow tcp:22 \\
#     --source-ranges YOUR-IP/32
#
#   pip install "ray[default]=={ray}" google-api-python-client google-auth cryptography
#   ray get-auth-token --generate > /dev/null && chmod 600 {token}   # once; machines get a copy
#   ray up my-cluster.yaml
#   ray down my-cluster.yaml            # the machines cost money until this
#
# --out gs://BUCKET/RUN is storage that all machines can write: `ray up` makes the service account
# {account}, which may use the project's buckets, and the workers get it for that alone.
# `resources` of gpu_worker are those of its machineType: Ray looks up neither, and starts no worker
# that it takes to have no GPU. Change both together.
"""


def render(cluster: dict[str, Any], comment: str) -> str:
    """The file's text: the comment, then the content in its own order."""
    body: str = yaml.safe_dump(cluster, sort_keys=False, width=100)
    return f"{comment}\n{body}"


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


def write_google_cloud(cloud: GoogleCloud) -> str:
    """The whole file for Google Cloud."""
    version = importlib.metadata.version("ray")
    region = cloud.zone.rpartition("-")[0]
    comment = _GOOGLE_CLOUD.format(
        subnet=cloud.subnet, region=region, ray=version, token=TOKEN, account=RAYS_ACCOUNT
    )
    return render(google_cloud(cloud, version), comment)


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


class _Parser(argparse.ArgumentParser):
    """Argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """The three commands."""
    parser = _Parser(
        prog="python -m search.cluster",
        description="Write a file for `ray up` on hosts of your own or on Google Cloud, or end a "
        "cluster of your own hosts. For AWS there is cluster.yaml in the repository.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    _add_local(
        commands.add_parser("local", help="print a file for hosts of your own", allow_abbrev=False)
    )
    _add_gcp(commands.add_parser("gcp", help="print a file for Google Cloud", allow_abbrev=False))
    end = commands.add_parser("down", help="stop Ray on all hosts of a `local` file")
    end.add_argument("file", type=Path, metavar="FILE", help="what `local` wrote")
    return parser


def _add_local(parser: argparse.ArgumentParser) -> None:
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


def _add_gcp(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--project", required=True, metavar="ID", help="of Google Cloud")
    add("--zone", required=True, metavar="ZONE", help="with the GPUs, as us-central1-a")
    add(
        "--subnet", required=True, metavar="NAME", help="a closed one; the file says how to make it"
    )
    add(
        "--worker-image",
        required=True,
        metavar="IMAGE",
        help="Ubuntu 24.04 with an NVIDIA driver for CUDA 13, as projects/P/global/images/family/F",
    )
    add(
        "--machine",
        default="g2-standard-4",
        metavar="TYPE",
        help="of a worker: g2-standard-N, a2-highgpu-Ng, a2-ultragpu-Ng or a3-highgpu-Ng "
        "[g2-standard-4, one L4]",
    )
    add("--max-workers", type=int, default=4, metavar="N", help="[4]")
    add("--name", default="prune-privacy", metavar="NAME", help="of the cluster [prune-privacy]")


def run(words: Sequence[str]) -> int:
    """One command; raises InvalidInput for everything that a user can get wrong."""
    given = vars(build_parser().parse_args(words))
    command = given.pop("command")
    if command == "down":
        return down(given["file"])
    if command == "gcp":
        text = write_google_cloud(GoogleCloud(**given))
        start = "ray up FILE"
    else:
        workers = tuple(given.pop("workers").split(","))
        user = given.pop("user") or getpass.getuser()
        text = write_on_premises(OnPremises(workers=workers, user=user, **given))
        start = f"{V1} ray up FILE"
    print(text, end="")
    print(f"start it with: {start}", file=sys.stderr)
    return OK


@as_command
def main(words: Sequence[str]) -> int:
    """Run the program; exit status 0, 1 or, with one line, 2."""
    try:
        return run(words)
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
