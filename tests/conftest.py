"""What every test runs under: one thread, a HOME of its own, and a Ray cluster on request."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when NumPy and torch are imported

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ray writes a token to HOME, which would change the user's next `ray start`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own tables stay out of the captured output
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield home


@pytest.fixture(scope="session")
def ray_cluster(own_home: Path) -> Iterator[str]:
    """The address of a real cluster: two nodes of one CPU, each a raylet and workers of its own."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 128 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()
