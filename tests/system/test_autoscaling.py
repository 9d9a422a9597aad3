"""A cluster without a worker: a search asks Ray's autoscaler for them, and lets them go."""

from collections.abc import Iterator

import pytest
import yaml

from tests.system.hosts import SHARED, Host, Network, wait_until, why_not_here
from tests.system.program import command, rows

_lacking = why_not_here()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.skipif(_lacking is not None, reason=f"NO AUTOSCALING WAS TESTED: {_lacking}"),
]

HEAD = "f" * 51 + "00000"
"""The only id by which Ray's fake cloud knows its head."""

_STEPS = ("head_setup", "worker_setup", "head_start_ray", "worker_start_ray")

CLOUD = {
    "cluster_name": "fake",
    "provider": {
        "type": "fake_multinode",
        "head_node_id": HEAD,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "max_workers": 2,
    "upscaling_speed": 10,
    "idle_timeout_minutes": 0.2,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    **{key: {} for key in ("auth", "docker", "file_mounts")},
    **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    **{f"{step}_commands": [] for step in ("initialization", "setup", *_STEPS)},
    "file_mounts_sync_continuously": False,
}
"""Its workers are real raylets on the host itself, started and ended by Ray's real autoscaler."""

SMALL = ("--preset", "smoke", "--no-references", "--trials", 4)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Network(tmp_path_factory.mktemp("cloud"), hosts=1) as network:
        (network.shared / "cloud.yaml").write_text(yaml.safe_dump(CLOUD))
        (host,) = network.hosts
        start = ("ray", "start", "--head", "--num-cpus=0", "--include-dashboard=false")
        host.must(
            *(*start, f"--autoscaling-config={SHARED}/cloud.yaml"),
            AUTOSCALER_UPDATE_INTERVAL_S="1",
            RAY_FAKE_CLUSTER="1",
        )
        host.folder = network.shared
        yield host


def workers(head: Host) -> int:
    """How many of them live."""
    return len(head.processes("raylet/raylet")) - 1


def test_without_a_number_of_trials_the_line_says_how_to_have_it_grow(head: Host) -> None:
    done = head.run(*command(*SMALL, "--address", "auto", "--out", SHARED / "none"))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "the cluster has 0 CPU cores" in line
    assert "--concurrency" in line


def test_a_search_grows_the_cluster_from_nothing_and_lets_it_shrink(head: Host) -> None:
    assert workers(head) == 0
    out = SHARED / "grown"
    done = head.run(*command(*SMALL, "--address", "auto", "--concurrency", 2, "--out", out))
    assert done.returncode == 0, done.stderr
    assert "The cluster has no room for a trial yet: it is asked for 2" in done.stderr
    assert list(rows(head.folder / "grown", "anchor", "search")["number"]) == [0, 1, 2, 3]
    wait_until(lambda: workers(head) == 0, "the end of idle workers")


def test_what_no_machine_of_the_cloud_has_is_refused_in_one_line(head: Host) -> None:
    code = (
        "from search.tune.join import cluster\n"
        "from search.tune.resources import Resources, wait_for_room\n"
        "resources = Resources(cpus_per_trial=64.0, gpus_per_trial=0.0, concurrency=2)\n"
        "with cluster('auto') as nodes:\n"
        "    wait_for_room(resources, nodes, print, patience_s=5)\n"
    )
    done = head.run(command()[0], "-c", code)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.endswith(
        "--concurrency 2: no machine with 64 CPU came within 0 minutes; `ray status` on the head "
        "says why"
    )
