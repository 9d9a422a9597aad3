"""cluster.yaml fits Ray's schema, is closed to strangers, and pins the Ray that was tested."""

import copy
import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
START_COMMANDS = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(scope="module")
def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_rays_own_schema_accepts_it(cluster):
    ray = pytest.importorskip("ray")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))


def test_rays_launcher_accepts_it_with_all_that_it_adds(cluster):
    launcher = pytest.importorskip("ray.autoscaler._private.util")
    prepared = launcher.prepare_config(copy.deepcopy(cluster))
    launcher.validate_config(prepared)
    types = prepared["available_node_types"]
    assert {name: kind["max_workers"] for name, kind in types.items()} == {
        "head": 0,
        "gpu_worker": cluster["max_workers"],
    }


def test_the_number_of_lines_to_fill_in_is_the_one_it_says():
    text = (ROOT / "cluster.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert "Fill in the six FILL_IN lines" in text
    assert sum("FILL_IN" in line for line in lines) == 6


def test_every_setting_that_a_user_may_change_is_explained_beside_it():
    text = (ROOT / "cluster.yaml").read_text()
    names = ["cluster_name", "max_workers", "upscaling_speed", "idle_timeout_minutes"]
    for name in [*names, "region", "ssh_user", "min_workers", "InstanceType: g", "MarketType"]:
        assert re.search(rf"^ *{name}.*  # \w+", text, re.MULTILINE), name


def test_what_the_comment_adds_for_mps_fits_too(cluster):
    ray = pytest.importorskip("ray")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    text = (ROOT / "cluster.yaml").read_text()
    [shown] = re.findall(r"^#   (worker_setup_commands:\n#       - .*)$", text, re.MULTILINE)
    added = yaml.safe_load(shown.replace("\n#   ", "\n"))
    jsonschema.validate({**cluster, **added}, schema)
    [command] = added["worker_setup_commands"]
    assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("commands", START_COMMANDS)
def test_every_shell_that_runs_ray_turns_on_token_authentication(cluster, commands):
    running_ray = [line for line in cluster[commands] if re.search(r"\bray (start|stop)\b", line)]
    assert any("ray start" in line for line in running_ray)
    for line in running_ray:
        assert line.startswith("export RAY_AUTH_MODE=token;")


def test_the_token_travels_as_a_file_that_only_its_owner_reads(cluster):
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert cluster["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN=" not in (ROOT / "cluster.yaml").read_text()


def test_the_dashboard_listens_on_loopback_only(cluster):
    start = next(line for line in cluster["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_every_node_is_in_a_security_group_of_the_users_choice(cluster):
    for node_type in cluster["available_node_types"].values():
        assert node_type["node_config"]["SecurityGroupIds"]


@pytest.fixture(scope="module")
def policies():
    """Name -> the policy that the comment has written to a file."""
    text = "\n".join(
        line.removeprefix("#   ") for line in (ROOT / "cluster.yaml").read_text().splitlines()
    )
    found = re.findall(r"^cat > (\w+)\.json <<'END'\n(.*?)\nEND$", text, re.MULTILINE | re.DOTALL)
    return {name: json.loads(policy)["Statement"] for name, policy in found}


def test_the_head_may_hand_the_workers_their_role_and_no_other(policies):
    passing = [one for one in policies["launch"] if one["Action"] == "iam:PassRole"]
    assert [one["Resource"] for one in passing] == [
        "arn:aws:iam::ACCOUNT:role/prune-privacy-worker"
    ]
    assert all(one["Effect"] == "Allow" for policy in policies.values() for one in policy)


def test_the_head_may_do_all_that_rays_launcher_asks_of_ec2_there(policies):
    ray = pytest.importorskip("ray")
    provider = Path(ray.__file__).parent / "autoscaler/_private/aws/node_provider.py"
    asked = set(re.findall(r"ec2\.meta\.client\.(\w+)", provider.read_text()))
    assert {"create_tags", "terminate_instances"} <= asked
    [allowed] = [one["Action"] for one in policies["launch"] if one["Action"] != "iam:PassRole"]
    for call in {*asked, "run_instances"}:
        name = "".join(word.capitalize() for word in call.split("_"))
        assert f"ec2:{name}" in allowed or name.startswith("Describe"), name
    assert "ec2:Describe*" in allowed


def test_every_node_has_a_profile_or_the_bucket_would_be_closed_to_it(cluster, policies):
    profiles = {
        name: kind["node_config"]["IamInstanceProfile"]["Name"]
        for name, kind in cluster["available_node_types"].items()
    }
    assert len(set(profiles.values())) == 2, "the head's may start machines, the workers' may not"
    assert {one["Resource"] for one in policies["bucket"]} == {
        "arn:aws:s3:::BUCKET",
        "arn:aws:s3:::BUCKET/*",
    }


def test_the_head_has_no_gpu_and_the_workers_are_spot_and_start_at_none(cluster):
    types = cluster["available_node_types"]
    head = types.pop(cluster["head_node_type"])
    assert head["resources"]["GPU"] == 0
    for worker in types.values():
        assert worker["min_workers"] == 0
        assert worker["max_workers"] <= cluster["max_workers"]
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_the_cluster_installs_the_ray_that_was_tested():
    tested = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    named = re.findall(r"ray\[default\]==([\d.]+)", (ROOT / "cluster.yaml").read_text())
    assert len(tested) == 1
    assert named
    assert set(named) == set(tested)


def test_the_ray_is_newer_than_the_known_holes():
    [(major, minor)] = re.findall(
        r"^ray==(\d+)\.(\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert (int(major), int(minor)) >= (2, 56)


def test_everything_that_is_mounted_exists_here(cluster):
    for local in cluster["file_mounts"].values():
        if local.startswith("./") and local != "./README.md":
            assert (ROOT / local).exists(), local


@pytest.mark.parametrize("document", ["docs/cluster.md", "cluster.yaml", "search/cluster/hosts.py"])
def test_a_job_runs_in_a_shell_of_the_head_or_its_home_would_be_taken_for_a_name(document):
    submitted = re.findall(r"ray job submit (?:[^\n]*?) -- (.*)", (ROOT / document).read_text())
    assert submitted
    assert all(entry.startswith("bash -c ") for entry in submitted)
