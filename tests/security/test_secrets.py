"""Planted secrets: a run that knows them all, by every way in, writes none of them anywhere."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import search.pipeline
import search.run
from analysis.run_page import write_report
from search.context import Context
from search.record import mirror as module
from search.record.trials_parquet import Ledger
from tests.search.track.shown import mlflow_server
from tests.security.conftest import record
from tests.system.program import holders

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED01",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret-0123456789",
    "AWS_SESSION_TOKEN": "planted-aws-session-0123456789",
    "PGPASSWORD": "planted-pg-password",
    "RAY_AUTH_TOKEN": "planted0ray0token0123456789abcdef",
}
PASSWORD = "planted-url-pa55"
ENCODED = "planted%2Durl%2Dpa55"
URL = f"postgresql://ada:{PASSWORD}@127.0.0.1:1/runs"
ALL = (*SECRETS.values(), PASSWORD, ENCODED)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every secret in the environment, Ray's token also in its file."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    token = tmp_path / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text(SECRETS["RAY_AUTH_TOKEN"])
    module._warned.clear()


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, mnist5k_read_once: None) -> dict[str, object]:
    """A run without Ray: its stages measure nothing, mirror a row to a server that is away, and
    end as `stages["end"]` says.
    """
    asked: dict[str, object] = {"end": None}

    @contextlib.contextmanager
    def cluster(address: str, *_: object) -> Iterator[list[dict[str, float]]]:
        yield [{"CPU": 2.0}]

    def train_dense(context: Context) -> None:
        Ledger(context.folder.path).write(record("search", 0, [15, 85], 0.02))
        recorder = context.recorder(mirrored=True)
        recorder.setup()
        recorder.on_experiment_end([])
        asked["report"] = write_report(context.folder.path)
        if asked["end"] is not None:
            raise asked["end"]
        raise KeyboardInterrupt

    monkeypatch.setattr(search.pipeline, "cluster", cluster)
    monkeypatch.setattr(search.pipeline.signal, "signal", lambda *_: None)
    monkeypatch.setattr(search.pipeline, "train_dense", train_dense)
    return asked


def found(folder: Path, said: str) -> list[str]:
    """Where any secret stands: files of the folder, or what was said."""
    places = [str(file) for secret in ALL for file in holders(folder, secret)]
    return [*places, *(secret for secret in ALL if secret in said)]


@pytest.mark.parametrize("address", ["local", "auto"])
def test_no_file_of_a_run_and_no_line_of_it_holds_a_secret(
    planted, stages, address, tmp_path, capfd
) -> None:
    run = tmp_path / "run"
    words = ["--out", str(run), "--study-storage", URL, "--address", address]
    assert search.run.main(words) == 130
    said = "".join(capfd.readouterr())
    for name in ("config.json", "report.html", "run.log"):
        assert (run / name).is_file(), name
    assert found(run, said) == []
    assert json.loads((run / "config.json").read_text())["options"]["study_storage"] == (
        "postgresql://ada:***@127.0.0.1:1/runs"
    )
    assert (
        "study storage postgresql://ada:***@127.0.0.1:1/runs is away"
        in (run / "run.log").read_text()
    )
    assert said.count("warning: the password of --study-storage") == (address == "auto")
    assert holders(run, "mnist5k"), "the search for secrets finds what is there"


@pytest.mark.slow
def test_a_trackers_password_is_used_and_written_nowhere(
    planted, stages, tmp_path, capfd, monkeypatch
) -> None:
    """Neither in the run's folder nor in what the tracker is told of the run."""
    server = tmp_path / "server"
    server.mkdir()
    run = tmp_path / "run"
    with mlflow_server(server) as address:
        url = f"mlflow://{address.replace('//', f'//ada:{PASSWORD}@')}"
        assert search.run.main(["--out", str(run), "--track", url, "--address", "auto"]) == 130
        said = "".join(capfd.readouterr())
    assert found(run, said) == []
    assert [file for file in holders(server, PASSWORD) if file.name != "log"] == []
    shown = url.replace(PASSWORD, "***")
    assert json.loads((run / "config.json").read_text())["options"]["track"] == shown
    assert said.count(f"warning: the password of --track {shown}") == 1
    assert search.run.main(["--resume", str(run)]) == 130
    assert f"The tracker {shown} stays as it is" in "".join(capfd.readouterr())


def test_a_fault_that_quotes_the_url_is_told_and_logged_without_its_password(
    planted, stages, tmp_path, capfd
) -> None:
    stages["end"] = RuntimeError(f"cannot reach {URL}")
    run = tmp_path / "run"
    assert search.run.main(["--out", str(run), "--study-storage", URL]) == 1
    said = "".join(capfd.readouterr())
    assert "fault: cannot reach postgresql://ada:***@127.0.0.1:1/runs" in said
    assert "cannot reach postgresql://ada:***" in (run / "run.log").read_text()
    assert found(run, said) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--study-storage", f"redis://ada:{PASSWORD}@host"],
        ["--study-storage", f"postgresql://ada:{PASSWORD}@host:port/db"],
        ["--study-storage", f"postgresql://ada:{ENCODED}@host:port/db"],
        ["--track", f"mlflow://ada:{PASSWORD}@host"],
        ["--track", f"mlflow://ftp://ada:{ENCODED}@host"],
        ["--track", f"mlflow://http://ada:{PASSWORD}@127.0.0.1:1"],
        ["--out", f"s3://AKIA:{PASSWORD}@bucket/run"],
        ["--out", f"s3://bucket/run?secret_key={PASSWORD}"],
    ],
)
def test_a_refused_option_is_not_repeated_with_its_secret(
    planted, stages, words, tmp_path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert search.run.main(words) == 2
    assert found(tmp_path / "runs", "".join(capfd.readouterr())) == []
