"""Command lines that all the files' tests write with, and Ray's schema that the files must fit."""

import json
from pathlib import Path

import pytest
import yaml

from search.cluster.__main__ import main

LOCAL = ("local", "--head", "10.0.0.1", "--workers", "gpu-1,gpu-2.lab.example", "--user", "ada")
KEYED = (*LOCAL, "--key", "~/.ssh/hosts", "--environment", "/opt/prune", "--cpus", "3")
GCP = (
    *("gcp", "--project", "my-project", "--zone", "us-central1-a", "--subnet", "closed"),
    *("--worker-image", "projects/p/global/images/family/f"),
)


@pytest.fixture(scope="module")
def schema():
    ray = pytest.importorskip("ray")
    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


def written(capsys, words):
    assert main(words) == 0
    return yaml.safe_load(capsys.readouterr().out)
