"""`python -m search.cluster`: files that fit Ray's schema, closed to strangers, and their end."""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from search.cluster import hosts as cluster
from trainables.base.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[3]
LOCAL = ("local", "--head", "10.0.0.1", "--workers", "gpu-1,gpu-2.lab.example", "--user", "ada")
GCP = (
    *("gcp", "--project", "my-project", "--zone", "us-central1-a", "--subnet", "closed"),
    *("--worker-image", "projects/p/global/images/family/f"),
)
ON_PREMISES = cluster.OnPremises(
    name="hosts",
    head="10.0.0.1",
    workers=("gpu-1", "gpu-2"),
    user="ada",
    key="~/.ssh/hosts",
    environment="/opt/prune",
    cpus=3,
)
KEYED = (*LOCAL, "--key", "~/.ssh/hosts", "--environment", "/opt/prune", "--cpus", "3")


@pytest.fixture(scope="module")
def schema():
    ray = pytest.importorskip("ray")
    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


def written(capsys, words):
    assert cluster.main(words) == 0
    return yaml.safe_load(capsys.readouterr().out)


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
    assert aws["head_start_ray_commands"] == cluster.head_commands(cluster.INSTALLED)
    assert aws["worker_start_ray_commands"] == cluster.worker_commands(cluster.INSTALLED, spot=True)
    assert aws["setup_commands"] == [
        *cluster.PROTECT_TOKEN,
        *cluster.SYSTEM_PACKAGES,
        *cluster.install_commands(tested, "boto3"),
        *cluster.ACTIVATE,
    ]
    assert set(aws["file_mounts"]) == {*cluster.sources(), cluster.TOKEN}


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


def test_both_streams_name_the_way_around_the_second_autoscaler(capsys):
    assert cluster.main(LOCAL) == 0
    out, err = capsys.readouterr()
    assert "RAY_UP_enable_autoscaler_v2=0 ray up" in out
    assert err == "start it with: RAY_UP_enable_autoscaler_v2=0 ray up FILE\n"


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


def test_what_the_comment_adds_for_a_bucket_fits_too(schema, capsys):
    assert cluster.main(LOCAL) == 0
    text = capsys.readouterr().out
    [shown] = re.findall(r"^#   (file_mounts:\n(?:#     .*\n|#   \w+:\n)+)", text, re.MULTILINE)
    added = yaml.safe_load(re.sub(r"\n#   ", "\n", shown))
    assert added["file_mounts"] == {"~/.aws/credentials": "~/.aws/credentials"}
    jsonschema.validate({**yaml.safe_load(text), **added}, schema)


def test_without_the_source_there_is_nothing_to_install(tmp_path):
    with pytest.raises(InvalidInput, match="run this from a checkout"):
        cluster.sources(tmp_path)


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
    assert cluster.main((*LOCAL, words[0] + "=" + words[1])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


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
    assert cluster.main((*GCP, words[0] + "=" + words[1])) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@given(st.text(max_size=30))
def test_a_host_that_is_accepted_means_nothing_to_a_shell(text):
    with contextlib.suppress(InvalidInput):
        cluster.require_host(text)
        assert shlex.quote(text) == text
        assert not text.startswith("-")
        assert yaml.safe_load(yaml.safe_dump({"host": text})) == {"host": text}


# The end of a cluster.


@pytest.fixture
def file(tmp_path, capsys):
    assert cluster.main(KEYED) == 0
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
        answer = answers.get(host, (0, cluster.NONE_LEFT))
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(words, answer[0], stdout=answer[1], stderr="")

    monkeypatch.setattr(cluster.subprocess, "run", run)
    monkeypatch.setattr(cluster.shutil, "which", lambda _: "/usr/bin/ssh")
    return answers, ran


def test_down_stops_the_head_first_and_then_every_worker(file, ssh, capsys):
    assert cluster.main(["down", str(file)]) == 0
    targets = [words[words.index("--") + 1] for words in ssh[1]]
    assert targets[0] == "ada@10.0.0.1"
    assert set(targets) == {"ada@10.0.0.1", "ada@gpu-1", "ada@gpu-2.lab.example"}
    for words in ssh[1]:
        assert "/opt/prune/bin/ray stop" in words[-1]
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
    assert cluster.main(["down", str(file)]) == 1
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
    assert cluster.main(["down", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), ssh[1]) == ("", 1, [])


def test_down_refuses_a_host_that_was_edited_into_an_option(file, ssh, capsys):
    file.write_text(file.read_text().replace("gpu-1", "-oProxyCommand=id"))
    assert cluster.main(["down", str(file)]) == 2
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
    made = cluster.on_premises(ON_PREMISES, "2.60.0")
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
    whole = yaml.safe_dump(cluster.on_premises(ON_PREMISES, "2.60.0")).encode()
    path = tmp_path / "my-cluster.yaml"
    path.write_bytes(whole[:cut] + other + whole[cut + len(other) :])
    refused_in_one_line_or_done(path)


def refused_in_one_line_or_done(path):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cluster.main(["down", str(path)])
    assert (status, err.getvalue().count("\n")) in ((0, 0), (2, 1))
    assert (out.getvalue() == "") == (status == 2)
    assert err.getvalue().strip().isprintable()


def test_down_refuses_a_missing_file(tmp_path, capsys):
    assert cluster.main(["down", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
