"""The file for hosts of one's own: it holds what was asked for, and nothing a shell would run."""

import contextlib
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.cluster.__main__ import main
from search.cluster.hosts import require_host
from tests.search.cluster.conftest import KEYED, LOCAL, written
from trainables.base.errors import InvalidInput


def test_hosts_of_ones_own_get_what_was_asked(capsys):
    made = written(capsys, KEYED)
    assert made["provider"] == {
        "type": "local",
        "head_ip": "10.0.0.1",
        "worker_ips": ["gpu-1", "gpu-2.lab.example"],
    }
    assert made["max_workers"] == 2
    assert made["auth"] == {"ssh_user": "ada", "ssh_private_key": "~/.ssh/hosts"}
    for commands in (made["head_start_ray_commands"], made["worker_start_ray_commands"]):
        assert all("/opt/prune/bin/ray" in command for command in commands)
        assert commands[1].endswith("--num-cpus=3")


def test_an_environment_that_all_hosts_see_needs_no_installation(capsys):
    made = written(capsys, KEYED)
    assert made["setup_commands"] == ["chmod 600 ~/.ray/auth_token"]
    assert set(made["file_mounts"]) == {"~/.ray/auth_token"}


def test_without_one_the_code_travels_and_is_installed_without_root(capsys):
    made = written(capsys, LOCAL)
    for path in made["file_mounts"].values():
        assert path.startswith("~/.ray/") or Path(path).exists(), path
    assert not any("sudo" in command for command in made["setup_commands"])
    assert sum("pip install" in command for command in made["setup_commands"]) == 2


def test_what_the_comment_adds_for_a_bucket_fits_too(schema, capsys):
    assert main(LOCAL) == 0
    text = capsys.readouterr().out
    [shown] = re.findall(r"^#   (file_mounts:\n(?:#     .*\n|#   \w+:\n)+)", text, re.MULTILINE)
    added = yaml.safe_load(re.sub(r"\n#   ", "\n", shown))
    assert added["file_mounts"] == {"~/.aws/credentials": "~/.aws/credentials"}
    jsonschema.validate({**yaml.safe_load(text), **added}, schema)


BAD = {
    "a command": ("--head", "a;rm -rf /"),
    "a substitution": ("--workers", "$(id),b"),
    "a line break": ("--head", "10.0.0.1\nb"),
    "a trailing line break": ("--workers", "b\n"),
    "an option": ("--workers", "-oProxyCommand=id"),
    "a user": ("--head", "root@10.0.0.1"),
    "a port": ("--head", "10.0.0.1:22"),
    "no host": ("--workers", "b,,c"),
    "half an address": ("--head", "10.0.0"),
    "no address": ("--head", "10.0.0.256"),
    "a host twice": ("--workers", "b,b"),
    "the head twice": ("--workers", "10.0.0.1"),
    "a user's option": ("--user", "-l"),
    "a user's command": ("--user", "a b"),
    "a quoted key": ("--key", "/k'; id #"),
    "a relative environment": ("--environment", "env"),
    "a spaced environment": ("--environment", "/opt/my env"),
    "no core": ("--cpus", "0"),
    "half a core": ("--cpus", "0.5"),
    "a slash in the name": ("--name", "../x"),
    "an unknown option": ("--hosts", "b"),
    "an abbreviation": ("--env", "/opt/prune"),
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_status_2_and_prints_no_file(words, capsys):
    assert main((*LOCAL, words[0] + "=" + words[1])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@given(st.text(max_size=30))
def test_a_host_that_is_accepted_means_nothing_to_a_shell(text):
    with contextlib.suppress(InvalidInput):
        require_host(text)
        assert shlex.quote(text) == text
        assert not text.startswith("-")
        assert yaml.safe_load(yaml.safe_dump({"host": text})) == {"host": text}
