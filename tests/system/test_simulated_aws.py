"""Ray's own launcher makes cluster.yaml's machines in a simulated AWS: no real one was started."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import (
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.filterwarnings("ignore")]

FILE = Path(__file__).resolve().parents[2] / "cluster.yaml"


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The id of the closed security group, in an account with the comment's two profiles."""
    (tmp_path / ".ssh").mkdir()
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        iam = boto3.client("iam")
        for name in ("prune-privacy-head", "prune-privacy-worker"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        made = boto3.client("ec2").create_security_group(GroupName="closed", Description="closed")
        yield made["GroupId"]


def filled_in(group: str) -> dict:
    """The file with its blanks filled in, as `ray up` completes it."""
    images = boto3.client("ec2").describe_images(Owners=["amazon"])["Images"]
    text = FILE.read_text()
    for blank, value in {
        "ami-FILL_IN_UBUNTU_24_04": images[0]["ImageId"],
        "ami-FILL_IN_DEEP_LEARNING_BASE": images[0]["ImageId"],
        "sg-FILL_IN": group,
        "FILL_IN_AS_PRUNE_PRIVACY_HEAD_ABOVE": "prune-privacy-head",
        "FILL_IN_AS_PRUNE_PRIVACY_WORKER_ABOVE": "prune-privacy-worker",
    }.items():
        assert blank in text
        text = text.replace(blank, value)
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    return bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))


def test_the_launcher_makes_machines_with_their_profiles_in_the_closed_group(group: str) -> None:
    config = filled_in(group)
    types = config["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert types["gpu_worker"]["resources"]["GPU"] == 1
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for kind, name in (("head", "head"), ("worker", "gpu_worker")):
        tags = {
            TAG_RAY_NODE_KIND: kind,
            TAG_RAY_USER_NODE_TYPE: name,
            TAG_RAY_LAUNCH_CONFIG: "hash",
            TAG_RAY_NODE_STATUS: "uninitialized",
        }
        provider.create_node(types[name]["node_config"], tags, 1)
    made = [
        instance
        for reservation in boto3.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert [[group["GroupId"] for group in one["SecurityGroups"]] for one in made] == [[group]] * 2
    profiles = {one["InstanceType"]: one["IamInstanceProfile"]["Arn"] for one in made}
    assert profiles["m7i.large"].endswith("/prune-privacy-head")
    assert profiles["g6.xlarge"].endswith("/prune-privacy-worker")
    spot = {one["InstanceType"]: one.get("InstanceLifecycle") for one in made}
    assert spot == {"m7i.large": None, "g6.xlarge": "spot"}
