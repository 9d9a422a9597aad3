"""The commands that all files share: Ray's schema takes them, and they are closed to strangers."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from search.cluster import commands
from tests.search.cluster.conftest import GCP, KEYED, LOCAL, written
from trainables.base.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("words", [LOCAL, KEYED, GCP])
def test_rays_own_schema_accepts_it(words, schema, capsys):
    jsonschema.validate(written(capsys, words), schema)


@pytest.mark.parametrize("words", [LOCAL, KEYED, GCP])
def test_every_file_is_as_closed_as_the_one_for_aws(words, capsys):
    made = written(capsys, words)
    starts = [made["head_start_ray_commands"], made["worker_start_ray_commands"]]
    for stop, start, *_ in starts:
        assert stop.startswith("export RAY_AUTH_MODE=token;")
        assert start.startswith("export RAY_AUTH_MODE=token;")
    assert "--dashboard-host=127.0.0.1" in made["head_start_ray_commands"][1]
    assert "0.0.0.0" not in yaml.safe_dump(made)
    assert made["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert made["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"


def test_the_file_for_aws_has_the_same_commands_word_for_word():
    aws = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    pins = (ROOT / "constraints.txt").read_text()
    [tested] = re.findall(r"^ray==(\S+)$", pins, re.MULTILINE)
    assert aws["head_start_ray_commands"] == commands.head_commands(commands.INSTALLED)
    assert aws["worker_start_ray_commands"] == commands.worker_commands(
        commands.INSTALLED, spot=True
    )
    assert aws["setup_commands"] == [
        *commands.PROTECT_TOKEN,
        *commands.SYSTEM_PACKAGES,
        *commands.install_commands(tested, "boto3"),
        *commands.ACTIVATE,
    ]
    assert set(aws["file_mounts"]) == {*commands.sources(), commands.TOKEN}


def test_without_the_source_there_is_nothing_to_install(tmp_path):
    with pytest.raises(InvalidInput, match="run this from a checkout"):
        commands.sources(tmp_path)
