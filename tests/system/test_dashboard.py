"""The live page of a run, in a real browser."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis.conftest import *  # noqa: F403 - run folders, as analysis's own tests make them
from tests.system.browser import browsing
from tests.system.dashboards import LIVE, dashboard
from tests.system.program import environment

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
