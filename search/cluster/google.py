"""The file for `ray up` on Google Cloud."""

import argparse
import dataclasses
import importlib.metadata
import re
from typing import Any

from search.cluster.commands import (
    ACTIVATE,
    INSTALLED,
    PROTECT_TOKEN,
    SYSTEM_PACKAGES,
    TOKEN,
    head_commands,
    install_commands,
    render,
    require_word,
    sources,
    worker_commands,
)
from trainables.base.errors import InvalidInput

RAYS_ACCOUNT = "ray-autoscaler-sa-v1"
"""The service account that `ray up` makes in a project and gives to the head alone."""

STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""Of a worker: it reads and writes buckets, and cannot start machines as the head can."""

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
        require_word("--name", self.name, word, "small letters, digits and -")
        require_word("--project", self.project, word, "a project id")
        require_word("--zone", self.zone, r"[a-z]+-[a-z]+\d+-[a-z]", "as us-central1-a")
        require_word("--subnet", self.subnet, word, "the name of a subnet")
        google_machine(self.machine)
        require_word(
            "--worker-image",
            self.worker_image,
            r"projects/[a-z0-9./-]+",
            "as projects/P/global/images/I",
        )
        if self.max_workers < 1:
            raise InvalidInput(f"--max-workers {self.max_workers} must be at least 1")

    @property
    def region(self) -> str:
        """The region that the zone belongs to."""
        return self.zone.rpartition("-")[0]


def google_cloud(cloud: GoogleCloud, ray_version: str) -> dict[str, Any]:
    """Return the content of the cluster file.

    Raises InvalidInput when the source of the project is not on this machine.
    """
    launcher = ("google-api-python-client", "google-auth", "cryptography")
    return {
        "cluster_name": cloud.name,
        "max_workers": cloud.max_workers,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "gcp",
            "project_id": cloud.project,
            "region": cloud.region,
            "availability_zone": cloud.zone,
            "cache_stopped_nodes": False,
        },
        "auth": {"ssh_user": "ubuntu"},
        "available_node_types": _node_types(cloud),
        "head_node_type": "head",
        "file_mounts": {**sources(), TOKEN: TOKEN},
        "rsync_exclude": ["**/__pycache__"],
        "setup_commands": [
            *PROTECT_TOKEN,
            *SYSTEM_PACKAGES,
            *install_commands(ray_version, *launcher),
            *ACTIVATE,
        ],
        "head_start_ray_commands": head_commands(INSTALLED),
        "worker_start_ray_commands": worker_commands(INSTALLED),
    }


def _node_types(cloud: GoogleCloud) -> dict[str, Any]:
    """Return the two kinds of machine: the head and the spot workers."""
    ubuntu = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
    account = f"{RAYS_ACCOUNT}@{cloud.project}.iam.gserviceaccount.com"
    return {
        "head": {
            "resources": {"CPU": 0, "GPU": 0},
            "node_config": _node_config(cloud, "n2-standard-2", ubuntu, 60),
        },
        "gpu_worker": {
            "min_workers": 0,
            "max_workers": cloud.max_workers,
            "resources": google_machine(cloud.machine),
            "node_config": {
                **_node_config(cloud, cloud.machine, cloud.worker_image, 100),
                "serviceAccounts": [{"email": account, "scopes": [STORAGE_SCOPE]}],
                "scheduling": [{"preemptible": True}, {"onHostMaintenance": "TERMINATE"}],
            },
        },
    }


def _node_config(cloud: GoogleCloud, kind: str, image: str, disk_gb: int) -> dict[str, Any]:
    """Return what Google's API needs to create one machine.  kind: its machine type."""
    drive = f"zones/{cloud.zone}/diskTypes/pd-balanced"  # G2 machines do not support pd-standard
    disk = {"diskSizeGb": disk_gb, "sourceImage": image, "diskType": drive}
    boot = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": disk}
    outside = {"name": "External NAT", "type": "ONE_TO_ONE_NAT"}
    subnet = f"projects/{cloud.project}/regions/{cloud.region}/subnetworks/{cloud.subnet}"
    network = {"subnetwork": subnet, "accessConfigs": [outside]}
    return {"machineType": kind, "disks": [boot], "networkInterfaces": [network]}


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


def write_google_cloud(cloud: GoogleCloud) -> str:
    """The whole file for Google Cloud."""
    version = importlib.metadata.version("ray")
    comment = _GOOGLE_CLOUD.format(
        subnet=cloud.subnet, region=cloud.region, ray=version, token=TOKEN, account=RAYS_ACCOUNT
    )
    return render(google_cloud(cloud, version), comment)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m search.cluster gcp`."""
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
