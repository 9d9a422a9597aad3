"""The file for Google Cloud: the machines, their rights, and the names that it refuses."""

from pathlib import Path

import pytest

from search.cluster.__main__ import main
from tests.search.cluster.conftest import GCP, written


def test_google_cloud_has_a_head_without_gpu_and_spot_workers_from_none(capsys):
    made = written(capsys, (*GCP, "--max-workers", "7"))
    head, worker = made["available_node_types"]["head"], made["available_node_types"]["gpu_worker"]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert (worker["min_workers"], worker["max_workers"], made["max_workers"]) == (0, 7, 7)
    assert {"preemptible": True} in worker["node_config"]["scheduling"]
    for kind in (head, worker):
        [network] = kind["node_config"]["networkInterfaces"]
        assert network["subnetwork"] == "projects/my-project/regions/us-central1/subnetworks/closed"
    assert made["provider"]["region"] == "us-central1"


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus"),
    [
        ("g2-standard-4", 4, 1),
        ("g2-standard-96", 96, 8),
        ("a2-highgpu-2g", 24, 2),
        ("a2-ultragpu-8g", 96, 8),
        ("a3-highgpu-1g", 26, 1),
        ("a3-highgpu-8g", 208, 8),
    ],
)
def test_ray_is_told_what_a_google_machine_has_since_it_looks_up_neither(
    machine, cpus, gpus, capsys
):
    worker = written(capsys, (*GCP, "--machine", machine))["available_node_types"]["gpu_worker"]
    assert worker["resources"] == {"CPU": cpus, "GPU": gpus}
    assert worker["node_config"]["machineType"] == machine


def test_google_workers_may_use_buckets_and_nothing_else(capsys):
    ray = pytest.importorskip("ray")
    types = written(capsys, GCP)["available_node_types"]
    [account] = types["gpu_worker"]["node_config"]["serviceAccounts"]
    assert account == {
        "email": "ray-autoscaler-sa-v1@my-project.iam.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/devstorage.read_write"],
    }
    assert "serviceAccounts" not in types["head"]["node_config"], "Ray gives the head its own"
    theirs = (Path(ray.__file__).parent / "autoscaler/_private/gcp/config.py").read_text()
    for part in ('RAY = "ray-autoscaler"', 'RAY + "-sa-" + VERSION', 'VERSION = "v1"'):
        assert part in theirs
    assert "roles/storage.objectAdmin" in theirs


@pytest.mark.parametrize(
    "words",
    [
        *(("--project", bad) for bad in ("P", "a b", "a\n", "")),
        *(("--zone", bad) for bad in ("us-central1", "us central1-a")),
        *(("--subnet", bad) for bad in ("../default", "a;b")),
        *(("--worker-image", bad) for bad in ("ubuntu", "projects/p; id")),
        *(
            ("--machine", bad)
            for bad in ("n2-standard-4", "g2-standard-5", "a2-highgpu-3g", "g2", "")
        ),
        ("--max-workers", "0"),
    ],
)
def test_bad_names_of_google_cloud_are_refused(words, capsys):
    assert main((*GCP, words[0] + "=" + words[1])) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
