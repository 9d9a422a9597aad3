"""`python -m search.cluster down`: every host is stopped, or named; no other file runs anything."""

import contextlib
import io
import os
import subprocess

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from search.cluster import down
from search.cluster.__main__ import main
from search.cluster.hosts import OnPremises, on_premises
from tests.search.cluster.conftest import KEYED

ON_PREMISES = OnPremises(
    name="hosts",
    head="10.0.0.1",
    workers=("gpu-1", "gpu-2"),
    user="ada",
    key="~/.ssh/hosts",
    environment="/opt/prune",
    cpus=3,
)


@pytest.fixture
def file(tmp_path, capsys):
    assert main(KEYED) == 0
    path = tmp_path / "my-cluster.yaml"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.fixture
def ssh(monkeypatch):
    """Answers in place of ssh: host -> (status, what it prints); the commands that were run."""
    answers, ran = {}, []

    def run(words, **_):
        assert not any(b"\0" in os.fsencode(word) for word in words), "no command line"
        host = words[words.index("--") + 1].partition("@")[2]
        ran.append(words)
        answer = answers.get(host, (0, down.NONE_LEFT))
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(words, answer[0], stdout=answer[1], stderr="")

    monkeypatch.setattr(down.subprocess, "run", run)
    monkeypatch.setattr(down.shutil, "which", lambda _: "/usr/bin/ssh")
    return answers, ran


def test_down_stops_the_head_first_and_then_every_worker(file, ssh, capsys):
    assert main(["down", str(file)]) == 0
    targets = [words[words.index("--") + 1] for words in ssh[1]]
    assert targets[0] == "ada@10.0.0.1"
    assert set(targets) == {"ada@10.0.0.1", "ada@gpu-1", "ada@gpu-2.lab.example"}
    for words in ssh[1]:
        first, second = words[-1].split("pkill -f '[/]tmp/ray_ssh_'")  # of a head's autoscaler
        assert "/opt/prune/bin/ray stop" in first
        assert "/opt/prune/bin/ray stop" in second
        assert "BatchMode=yes" in words
    assert capsys.readouterr().out.splitlines() == [
        "10.0.0.1: stopped",
        "gpu-1: stopped",
        "gpu-2.lab.example: stopped",
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((255, "ssh: connect to host gpu-1 port 22: No route to host"), "No route to host"),
        ((0, "Stopped only 1 out of 2"), "Stopped only 1 out of 2"),
        ((127, ""), "status 127"),
        (subprocess.TimeoutExpired("ssh", 1), "no answer"),
    ],
)
def test_down_names_the_host_that_may_still_run(answer, reason, file, ssh, capsys):
    ssh[0]["gpu-1"] = answer
    assert main(["down", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("gpu-1: NOT STOPPED: ")
    assert reason in lines[1]
    assert lines[2] == "gpu-2.lab.example: stopped"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "provider: {type: aws}\nauth: {ssh_user: ubuntu}",
        "provider: {type: local}\nauth: {ssh_user: a}",
        "provider: 3",
        "\x00",
        "!!python/object/apply:os.system [id]",
        "[" * 5000,
        "!!timestamp x",
    ],
)
def test_down_refuses_what_is_no_file_of_ones_own_hosts(text, tmp_path, ssh, capsys):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    assert main(["down", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), ssh[1]) == ("", 1, [])


def test_down_refuses_a_host_that_was_edited_into_an_option(file, ssh, capsys):
    file.write_text(file.read_text().replace("gpu-1", "-oProxyCommand=id"))
    assert main(["down", str(file)]) == 2
    assert ssh[1] == []


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.dates(),
    st.sampled_from(["", " ", "a\0b", "-x", [], ["a"], [None], [[]], {}, {"a": 1}, {1: 2}, 10**40]),
)
PLACES = (
    *(("provider", name) for name in (None, "type", "head_ip", "worker_ips")),
    *(("auth", name) for name in (None, "ssh_user", "ssh_private_key")),
    *(("head_start_ray_commands", None), ("worker_start_ray_commands", None)),
    *(("head_start_ray_commands", 0), ("worker_start_ray_commands", 0), (None, None)),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from(PLACES), value=WRONG)
@example(where=("auth", "ssh_private_key"), value=3)
@example(where=("auth", "ssh_user"), value=3)
@example(where=("provider", "worker_ips"), value="gpu-1")
@example(where=("provider", "type"), value="a\nb")
@example(where=("head_start_ray_commands", None), value="ray stop")
def test_down_runs_or_refuses_a_file_with_any_value_anywhere(where, value, tmp_path, ssh):
    made = on_premises(ON_PREMISES, "2.60.0")
    outer, inner = where
    if outer is None:
        made = value
    elif inner is None:
        made[outer] = value
    else:
        made[outer][inner] = value
    path = tmp_path / "my-cluster.yaml"
    path.write_text(yaml.safe_dump(made))
    refused_in_one_line_or_done(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 900), other=st.binary(max_size=6))
def test_down_runs_or_refuses_a_file_with_any_bytes_anywhere(cut, other, tmp_path, ssh):
    whole = yaml.safe_dump(on_premises(ON_PREMISES, "2.60.0")).encode()
    path = tmp_path / "my-cluster.yaml"
    path.write_bytes(whole[:cut] + other + whole[cut + len(other) :])
    refused_in_one_line_or_done(path)


def refused_in_one_line_or_done(path):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["down", str(path)])
    assert (status, err.getvalue().count("\n")) in ((0, 0), (2, 1))
    assert (out.getvalue() == "") == (status == 2)
    assert err.getvalue().strip().isprintable()


def test_down_refuses_a_missing_file(tmp_path, capsys):
    path = tmp_path / "none.yaml"
    assert main(["down", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path} cannot be read: No such file or directory\n"
