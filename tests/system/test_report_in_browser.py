"""The report of a real run, opened by a real browser without network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.system]

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def browse(page: Path, profile: Path, *options: str) -> str:
    """Standard output of the browser that opened `page`; skips aloud where there is none."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    done = subprocess.run(
        [browser, *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_the_report_shows_headline_figures_and_every_trial(smoke_run: Path, tmp_path: Path) -> None:
    page = browse(smoke_run / "report.html", tmp_path / "profile", "--dump-dom")
    for text in ("test accuracy", "excess gain", "compression", "search-0002", "confirm-0000"):
        assert text.lower() in page.lower(), text
    assert page.count("<svg") >= 4


@pytest.mark.parametrize("width", [1200, 420])
def test_the_report_can_be_seen_wide_and_narrow(
    smoke_run: Path, tmp_path: Path, width: int
) -> None:
    picture = tmp_path / "report.png"
    browse(
        smoke_run / "report.html",
        tmp_path / "profile",
        f"--screenshot={picture}",
        f"--window-size={width},2000",
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000  # an empty page is a few kB


@pytest.fixture
def paper_page(smoke_run: Path, tmp_path: Path) -> Path:
    """The paper's page beside a real run."""
    out = tmp_path / "paper.html"
    subprocess.run(
        [sys.executable, "-m", "analysis.paper", smoke_run, "--out", out],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    return out


def test_the_papers_page_shows_tables_figures_and_commands(
    paper_page: Path, tmp_path: Path
) -> None:
    page = browse(paper_page, tmp_path / "profile", "--dump-dom")
    for text in ("Table 6", "paper 67.00%", "MNIST5k-LeNet-5", "--preset paper-table3-imagenet"):
        assert text in page, text
    assert page.count("<svg") == 3


def test_the_papers_page_can_be_seen(paper_page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "paper.png"
    browse(
        paper_page,
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1280,8000",
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000  # an empty page is a few kB
