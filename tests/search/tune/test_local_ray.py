"""Ray's start: what is late, and what belongs to others."""

import os
import stat
from pathlib import Path

import pytest
import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services
from ray._raylet import AuthenticationTokenLoader

from search import run
from search.tune import join, local_ray, repairs
from search.tune.local_ray import RayNotStarted
from trainables.base.errors import InvalidInput

LATE = Exception(  # word for word, and of this type
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup or the GCS has become overloaded."
)


@pytest.fixture(autouse=True)
def environment_as_before(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", *local_ray._PATIENCE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def init(monkeypatch):
    """Replace ray.init: it raises these in turn, then succeeds; returns the calls."""

    def replace(*errors: Exception) -> list[dict[str, object]]:
        calls, left = [], list(errors)

        def called(**options: object) -> None:
            calls.append({**options, "environment": dict(os.environ)})
            if left:
                raise left.pop(0)

        monkeypatch.setattr(ray, "init", called)
        monkeypatch.setattr(ray, "nodes", list)
        return calls

    return replace


@pytest.mark.parametrize(
    "error",
    [LATE, RuntimeError("Timed out waiting for file gcs_server_port"), ConnectionError("x")],
)
def test_a_start_that_came_to_nothing_is_tried_once_more_and_said(error, init):
    calls, said = init(error), []
    with join.cluster("local", said.append):
        pass
    assert len(calls) == 2
    (line,) = said
    assert line.startswith("Ray has not started (load ")
    assert line.endswith("): trying once more")


def test_the_second_failure_is_one_line_and_status_1(init, capsys):
    calls = init(LATE, LATE)
    assert run.main(["--preset", "smoke", "--dry-run", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fault: Ray has not started on this machine, tried twice (load ")
    assert "run it again when the machine is less busy" in line
    assert len(calls) == 2


def test_a_folder_that_cannot_be_used_is_not_tried_twice(init):
    calls = init(PermissionError(13, "Permission denied", "/ray"))
    with pytest.raises(InvalidInput, match="RAY_TMPDIR"), join.cluster("local"):
        pass
    assert len(calls) == 1


def test_another_rays_address_reaches_neither_our_ray_nor_its_processes(init, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    calls = init()
    with join.cluster("local"):
        pass
    (call,) = calls
    assert call["address"] == "local"
    assert "RAY_ADDRESS" not in call["environment"]
    assert int(call["environment"]["RAY_gcs_server_port_wait_time_s"]) == local_ray.START_S


def test_what_the_user_set_of_rays_patience_stays(init, monkeypatch):
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "5")
    calls = init()
    with join.cluster("local"):
        pass
    assert calls[0]["environment"]["RAY_agent_register_timeout_ms"] == "5"


@pytest.fixture
def clock(monkeypatch):
    """Time that passes in sleeps only."""
    now = [0.0]
    monkeypatch.setattr(repairs.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(repairs.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    return now


def test_a_raylet_is_waited_for_longer_than_rays_30_seconds_and_said_once(clock, monkeypatch):
    said = []

    def asked(*where: str) -> dict[str, str]:
        if clock[0] < 100:
            raise RuntimeError("no such node")
        return {"node": where[1]}

    monkeypatch.setattr(services, "get_node", asked)
    with repairs.raylet_awaited(local_ray.START_S, said.append):
        assert services.get_node("gcs", "mine") == {"node": "mine"}
    assert services.get_node is asked
    (line,) = said
    assert "Ray is slow to start" in line


def test_a_raylet_that_never_comes_is_not_waited_for_for_ever(clock, monkeypatch):
    def asked(*where: str) -> None:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", asked)
    with repairs.raylet_awaited(local_ray.START_S, print), pytest.raises(RuntimeError):
        services.get_node("gcs", "mine")
    assert local_ray.START_S < clock[0] < local_ray.START_S + 1


@pytest.mark.parametrize("whose", ["nobody's yet", "ours", "another's", "not to be written"])
def test_ray_gets_a_folder_that_no_other_user_owns(whose, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    default = Path(get_default_ray_temp_dir())
    if whose != "nobody's yet":
        default.mkdir()
    if whose == "another's":
        monkeypatch.setattr(local_ray.os, "geteuid", lambda: default.stat().st_uid + 1)
    if whose == "not to be written":
        monkeypatch.setattr(local_ray.os, "access", lambda path, mode: False)
    own = local_ray._own_folder()
    if whose in ("nobody's yet", "ours"):
        assert own is None
    else:
        assert Path(own).parent == tmp_path
        assert stat.S_IMODE(Path(own).stat().st_mode) == 0o700


@pytest.mark.parametrize("home", ["/dev/null", "writable", "with token"])
def test_a_token_is_made_where_home_cannot_keep_one(home, tmp_path, monkeypatch):
    if home == "with token":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("f" * 64)
    monkeypatch.setenv("HOME", home if home == "/dev/null" else str(tmp_path))
    tokens = AuthenticationTokenLoader.instance()
    tokens.reset_cache()
    local_ray._bring_token()
    made = os.environ.pop("RAY_AUTH_TOKEN", None)
    tokens.reset_cache()
    assert (made is not None) == (home == "/dev/null")
    assert made is None or len(made) == 64


def test_auto_is_the_environments_address_and_says_so(init, monkeypatch):
    said = []
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    calls = init()
    with join.cluster("auto", said.append):
        pass
    assert calls[0]["address"] == "ray://elsewhere:10001"
    assert said == ["--address auto is RAY_ADDRESS 'ray://elsewhere:10001' of the environment"]


def test_an_address_of_the_environment_where_nobody_answers_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(InvalidInput, match=r"answers at RAY_ADDRESS '127.0.0.1:9'"):
        join.cluster("auto").__enter__()


def test_a_cluster_of_another_version_is_one_line(init):
    init(RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n"))
    with pytest.raises(InvalidInput, match="has other versions than this program") as caught:
        join.cluster("host:6379x").__enter__()
    assert "\n" not in str(caught.value)
    assert "Ray: 2.9.0" in str(caught.value)


def test_what_is_raised_of_late_starts_says_it_in_one_line(init):
    init(LATE, RuntimeError("two\nlines"))
    with pytest.raises(RayNotStarted, match="two lines"):
        local_ray.start_local(print)
