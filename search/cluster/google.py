"""Writes the cluster file for Google Cloud."""

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
"""The service account that `ray up` creates in a project; Ray itself gives it to the head only."""

STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""The access scope of workers: they use buckets but, unlike the head, cannot start machines."""

_G2_GPUS = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}
"""Maps the cores of a g2-standard machine to its L4 GPUs."""

_A_CORES = {"a2-highgpu": 12, "a2-ultragpu": 12, "a3-highgpu": 26}
"""Maps a machine family to its CPU cores per GPU, an A100 or H100."""


def google_machine(kind: str) -> dict[str, int]:
    """Return the CPUs and GPUs of a machine type, which Ray's launcher cannot look up by itself.

    >>> google_machine("g2-standard-24")
    {'CPU': 24, 'GPU': 2}

    Raises InvalidInput for a machine type without a known number of cores and GPUs.
    """
    family, _, size = kind.rpartition("-")
    number = re.fullmatch(r"(\d{1,2})(g?)", size)
    if number is not None:
        count, counts_gpus = int(number[1]), number[2] == "g"
        if family == "g2-standard" and not counts_gpus and count in _G2_GPUS:
            return {"CPU": count, "GPU": _G2_GPUS[count]}
        if family in _A_CORES and counts_gpus and count in (1, 2, 4, 8):
            return {"CPU": _A_CORES[family] * count, "GPU": count}
    raise InvalidInput(
        f"--machine {kind!r} has no known number of cores and GPUs: choose g2-standard-N or one of "
        f"{', '.join(f'{name}-Ng' for name in _A_CORES)}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GoogleCloud:
    """A cluster on Google Cloud: a head without a GPU, and spot workers with GPUs."""

    name: str
    """The name of the cluster."""

    project: str
    """The id of the Google Cloud project that pays for the machines."""

    zone: str
    """The zone of all machines, such as us-central1-a."""

    subnet: str
    """The name of the subnet that all machines join."""

    worker_image: str
    """The disk image of the workers, with an NVIDIA driver."""

    machine: str
    """The machine type of the workers; `google_machine` lists its CPUs and GPUs."""

    max_workers: int
    """The largest number of workers at any time."""

    def __post_init__(self) -> None:
        word = r"[a-z][a-z0-9-]{0,62}"
        require_word(
            "--name", self.name, word, "lowercase letters, digits and hyphens, a letter first"
        )
        require_word("--project", self.project, word, "a project id")
        require_word("--zone", self.zone, r"[a-z]+-[a-z]+\d+-[a-z]", "a zone such as us-central1-a")
        require_word("--subnet", self.subnet, word, "the name of a subnet")
        google_machine(self.machine)
        require_word(
            "--worker-image",
            self.worker_image,
            r"projects/[a-z0-9./-]+",
            "an image such as projects/P/global/images/I",
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
# Ray on Google Cloud, written by `python -m search.cluster gcp`: a small head without a GPU, and
# spot workers with GPUs that come and go with the search.
#
# NOT YET RUN ON GOOGLE CLOUD. The file fits Ray's schema and its commands are those of
# cluster.yaml, but nobody has started these machines with it yet.
#
# Create a closed subnet of your own: Google's default network lets the whole world in by SSH.
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
#   ray down my-cluster.yaml            # until you run this, the machines cost money
#
# Every machine can write to --out gs://BUCKET/RUN: `ray up` creates the service account
# {account}, which may use the project's buckets, and workers may use it for nothing else.
#
# `resources` of gpu_worker must match its machineType, so change both together. Ray cannot look the
# resources up, and it never starts a worker that, by this file, has no GPU.
"""


def write_google_cloud(cloud: GoogleCloud) -> str:
    """Return the text of the whole cluster file, with instructions at its top."""
    version = importlib.metadata.version("ray")
    comment = _GOOGLE_CLOUD.format(
        subnet=cloud.subnet, region=cloud.region, ray=version, token=TOKEN, account=RAYS_ACCOUNT
    )
    return render(google_cloud(cloud, version), comment)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m search.cluster gcp`."""
    add = parser.add_argument
    add("--project", required=True, metavar="ID", help="id of the Google Cloud project")
    add(
        "--zone",
        required=True,
        metavar="ZONE",
        help="zone that has the GPUs, such as us-central1-a",
    )
    add(
        "--subnet",
        required=True,
        metavar="NAME",
        help="subnet closed to strangers; the file explains how to create it",
    )
    add(
        "--worker-image",
        required=True,
        metavar="IMAGE",
        help="image of the workers: Ubuntu 24.04 with an NVIDIA driver for CUDA 13, such as "
        "projects/P/global/images/family/F",
    )
    add(
        "--machine",
        default="g2-standard-4",
        metavar="TYPE",
        help="machine type of the workers: g2-standard-N, a2-highgpu-Ng, a2-ultragpu-Ng or "
        "a3-highgpu-Ng [g2-standard-4, one L4]",
    )
    add("--max-workers", type=int, default=4, metavar="N", help="most workers at any time [4]")
    add(
        "--name",
        default="prune-privacy",
        metavar="NAME",
        help="name of the cluster [prune-privacy]",
    )
