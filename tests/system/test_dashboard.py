"""The live page of a run, in a real browser."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.analysis.conftest import *  # noqa: F403 - run folders, as analysis's own tests make them
from tests.system.browser import browsing
from tests.system.dashboards import LIVE, PATIENCE_S, Dashboard, dashboard
from tests.system.program import command, environment
from tests.system.servers import object_store
from tests.system.test_interruption import finished_rows
from trainables.base.storage import place, write
from trainables.records import TRIAL_SCHEMA, to_table

pytestmark = [pytest.mark.slow, pytest.mark.system]

POINTS = 'document.querySelectorAll("#tradeoff .scatterlayer path.point").length'


def test_a_finished_run_is_shown_with_figures_that_say_what_they_show(
    write_run, make, tmp_path: Path
) -> None:
    run = write_run(make.full())
    (run / "report.html").touch()
    with (
        dashboard(run, tmp_path / "said") as server,
        browsing(tmp_path / "profile") as browser,
    ):
        browser.open(server.url())
        browser.wait_for(LIVE)
        browser.wait_for(f"{POINTS} > 20")
        text = browser.text()
        for words in ("This run has ended", "24 of 24", "loss is not finite", "fc1", "confirmed"):
            assert words in text, words
        for name in ("tradeoff", "layers"):
            assert len(browser.value(f'document.getElementById("{name}").ariaLabel')) > 30
        assert "token" not in browser.value("location.href")
        for width in (1280, 480):
            for dark in (False, True):
                picture = tmp_path / "page.png"
                browser.picture(picture, width, dark=dark)
                assert picture.stat().st_size > 20_000  # an empty page is a few kB
                wide = browser.value("document.documentElement.scrollWidth")
                assert wide <= width, "it scrolls sideways"
        assert browser.complaints == []


def refused(*words: object) -> str:
    """The one line of a command that does not begin."""
    done = subprocess.run(
        [sys.executable, "-m", "search.dashboard", *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_what_is_no_run_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.txt").touch()
    assert "is not a run folder" in refused(folder)
    assert "is not a run folder" in refused(tmp_path / "absent")
    assert [one.name for one in folder.iterdir()] == ["mine.txt"]
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_port_in_use_is_one_line(write_run, make, tmp_path: Path) -> None:
    run = write_run(make.full())
    with dashboard(run, tmp_path / "said") as server:
        port = server.url().partition("127.0.0.1:")[2].partition("/")[0]
        assert f"--port {port} cannot be used" in refused(run, "--port", port)
    assert "--port 70000 must be" in refused(run, "--port", 70000)


@pytest.mark.parametrize("package", ["plotly", "starlette", "uvicorn"])
def test_without_the_extra_both_commands_say_how_to_install_it(
    write_run, make, tmp_path: Path, package: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{package!r}] = None")
    ours = os.environ.get("PYTHONPATH", "")
    shell = {**environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ours}".rstrip(os.pathsep)}
    out = tmp_path / "out"
    for call in (
        [sys.executable, "-m", "search.dashboard", write_run(make.full(), name=package)],
        command("--preset", "smoke", "--out", out, "--dashboard"),
    ):
        done = subprocess.run(call, env=shell, capture_output=True, text=True, check=False)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert f"the live page needs {package}" in line
        assert "-m pip install 'prune-privacy[dashboard]'" in line
    assert not out.exists()


HEADLINE = '(document.getElementById("headline")?.textContent ?? "")'
CONNECTION = '(document.getElementById("connection")?.textContent ?? "")'
RACERS = '(document.getElementById("race_table")?.textContent ?? "")'
RUN_S = 600
"""A run here takes a minute or two."""


def page_beside(run: Path) -> int:
    """The process that `--dashboard` started."""
    found = [
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if file.parent.exists() and b"search.dashboard\0" + bytes(run) in file.read_bytes()
    ]
    (process,) = found
    return process


def test_a_run_is_watched_its_page_killed_and_opened_again(tmp_path: Path) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    with said.open("wb") as stderr:
        run = subprocess.Popen(
            command("--preset", "smoke", "--trials", 12, "--out", out, "--dashboard"),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        with browsing(tmp_path / "profile") as browser:
            browser.open(Dashboard(run, said).url())
            browser.wait_for(f'{HEADLINE}.startsWith("Search")', RUN_S)
            while finished_rows(out) < 4:
                assert run.poll() is None, said.read_text()
                time.sleep(0.1)
            # the dense network's row is not one of the search's
            shown = 'parseInt(document.querySelector("#facts dd").textContent)'
            assert browser.wait_for(f"{shown} >= {finished_rows(out) - 1}") < 10
            for words in ("slots busy", "cost so far", "left", "of 12", "core-hours"):
                assert words in browser.text(), words
            assert browser.value(f"{POINTS} >= {shown}")
            os.kill(page_beside(out), signal.SIGKILL)
            browser.wait_for(f'{CONNECTION}.includes("does not answer")')
            assert run.poll() is None
            with dashboard(out, tmp_path / "again") as server:
                browser.open(server.url())
                browser.wait_for(f'{HEADLINE}.startsWith("Race")', RUN_S)
                browser.wait_for(f'{RACERS}.includes("racing")')
                label = browser.value('document.getElementById("race").ariaLabel')
                assert "12 of 12 vectors are still in" in label
                browser.wait_for(f'{HEADLINE}.includes("has ended")', RUN_S)
                browser.wait_for('document.body.innerText.includes("winner")')
        assert run.wait(RUN_S) == 0, said.read_text()
    finally:
        run.kill()
        run.wait()
    assert "To open it again: " in said.read_text()
    assert "token" not in (out / "run.log").read_text()


def test_the_page_beside_a_run_ends_when_the_run_does_however_that_ends(
    write_run, make, tmp_path: Path
) -> None:
    call = [sys.executable, "-m", "search.dashboard", write_run(make.full())]
    with (tmp_path / "said").open("wb") as stderr:
        page = subprocess.Popen(
            [*call, "--no-browser", "--until-eof"],
            env=environment(),
            stdin=subprocess.PIPE,
            stderr=stderr,
        )
    Dashboard(page, tmp_path / "said").url()
    page.stdin.close()
    assert page.wait(PATIENCE_S) == 0


def test_ten_thousand_trials_are_all_shown(write_run, make, tmp_path: Path) -> None:
    run = write_run([])
    records = [make.dense(), *make.searched(10_000)]
    for first in range(0, len(records), 256):
        part = run / "trials.parquet" / f"part-{first:05d}.parquet"
        pq.write_table(to_table(records[first : first + 256], TRIAL_SCHEMA), part)  # noqa: F405
    with (
        dashboard(run, tmp_path / "said") as server,
        browsing(tmp_path / "profile") as browser,
    ):
        browser.open(server.url())
        browser.wait_for(f"{LIVE} && {POINTS} >= 9998")
        assert "10000 of" in browser.text()


def test_a_run_in_a_bucket_is_shown(
    write_run, make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(make.full())
    with object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        uri = f"s3://{store.bucket}/runs/first"
        for file in filter(Path.is_file, run.rglob("*")):
            write(place(f"{uri}/{file.relative_to(run)}"), file.read_bytes())
        shutil.rmtree(run)
        with (
            dashboard(uri, tmp_path / "said") as server,
            browsing(tmp_path / "profile") as browser,
        ):
            browser.open(server.url())
            browser.wait_for(f"{LIVE} && {POINTS} > 20")
            assert "24 of 24" in browser.text()
