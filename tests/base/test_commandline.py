"""Output that a terminal cannot show, or nobody reads, in every command: the work goes on."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from analysis import compare, paper, report
from search import run, spot
from search.cluster import commands, hosts
from search.cluster.__main__ import main as cluster
from search.tune.progress import LiveView
from tests.analysis.conftest import *  # noqa: F403 - run folders, as analysis's own tests make them
from trainables.base.commandline import as_command

ENCODINGS = ("ascii", "cp1252")
LOCAL = ("local", "--head", "a", "--workers", "b", "--user", "me")
COMMANDS = ("report", "compare", "paper", "cluster", "spot", "run")


@pytest.fixture
def runs(write_run, make):
    """Two runs whose folders have names that no small encoding has."""
    return [str(write_run(make.full(), name=f"{name}-Größe-→")) for name in ("one", "two")]


@pytest.fixture
def call(runs, tmp_path, monkeypatch, pictures_drawn_once):
    """Name of a command -> its status, with real runs where it takes some."""
    monkeypatch.setattr(spot, "is_reclaimed", lambda server: True)
    monkeypatch.setattr(spot, "drain", lambda: True)

    def helped() -> int:
        with pytest.raises(SystemExit) as left:
            run.main(["--help"])
        return int(str(left.value))

    calls = {
        "report": lambda: report.main(runs[:1]),
        "compare": lambda: compare.main([*runs, "--out", str(tmp_path / "c-\udcfc.html")]),
        "paper": lambda: paper.main([*runs, "--out", str(tmp_path / "→.html")]),
        "cluster": lambda: cluster(LOCAL),
        "spot": lambda: spot.main([]),
        "run": helped,
    }
    return lambda name: calls[name]()


def strict(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


def held_by(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_an_encoding_lacks_is_replaced_in_every_command(name, encoding, call, monkeypatch):
    out, err = strict(encoding), strict(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert call(name) == 0
    assert (out.errors, err.errors) == ("strict", "strict")
    assert held_by(out).count("\n") >= 1
    assert "Traceback" not in held_by(err)
    if name == "compare":
        assert ("Gr??e" if encoding == "ascii" else "Größe") in held_by(out)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_error_that_names_what_cannot_be_shown_stays_one_line(encoding, monkeypatch):
    err = strict(encoding)
    monkeypatch.setattr(sys, "stderr", err)
    for main in (report.main, compare.main, paper.main, run.main):
        words = ["--resume", "/Größe/\udcfc"] if main is run.main else ["/Größe/\udcfc"] * 2
        assert main(words[:1] if main is report.main else words) == 2
    lines = held_by(err).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_who_has_gone_changes_no_status(name, call, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(sys, "stderr", strict("utf-8"))
        assert call(name) == 0
    assert "output" not in held_by(sys.stderr)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_output_to_a_full_disk_is_status_1_and_one_line(name, call, monkeypatch):
    err = strict("utf-8")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", err)
        assert call(name) == 1
    assert held_by(err).splitlines()[-1] == (
        "fault: the output could not be written: No space left on device"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_with_its_streams_closed(name, call, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert call(name) == 0
    assert (sys.stdout, sys.stderr) == (None, None)


def test_a_mistake_with_its_reader_gone_is_still_status_2(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        assert report.main(["/nowhere"]) == 2


def test_a_file_for_ray_keeps_every_path_whole_in_ascii(tmp_path, monkeypatch):
    home = tmp_path / "Größe"
    for name in commands.SOURCES:
        (home / name).mkdir(parents=True)
    found = commands.sources(home)
    out = strict("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(hosts, "sources", lambda: found)
    assert cluster(LOCAL) == 0
    mounts = yaml.safe_load(held_by(out))["file_mounts"]
    assert mounts["~/prune-privacy/search"] == str(home / "search")


@pytest.mark.parametrize("terminal", ["1", None])
def test_the_live_view_is_drawn_on_any_terminal(terminal, monkeypatch):
    err = strict("ascii")
    monkeypatch.setattr(sys, "stderr", err)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", terminal)

    @as_command
    def drawn() -> int:
        view = LiveView("Größe →", 3, quiet=False, ledger=None)
        view.setup()
        view.on_experiment_end([])
        return 0

    assert drawn() == 0
    assert "Gr??e ?" in held_by(err)


def shell(line: str, folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, **changed},
        capture_output=True,
        text=True,
        check=False,
    )


HOUSE = Path(__file__).resolve().parents[2]


BARE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
"""A locale that has nothing but ASCII, for files and their names too."""


@pytest.mark.parametrize(
    ("line", "changed"),
    [("| head -c 1", {}), (">&- 2>&-", {}), ("", BARE)],
    ids=["head", "closed", "no UTF-8 at all"],
)
def test_a_real_shell_sees_status_0_and_no_word_on_stderr(line, changed, write_run, make, tmp_path):
    page = tmp_path / "page.html"
    for name in ("one", "two"):
        write_run(make.full(), name=name)
    words = f'"$PYTHON" -m analysis.compare {tmp_path}/one {tmp_path}/two --out {page}'
    done = shell(f"{words} {line}", HOUSE, **changed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "<svg" in page.read_text(encoding="utf-8")


def test_a_path_that_the_locale_cannot_read_is_one_line(runs):
    done = shell('"$PYTHON" -m analysis.report "$RUN"', HOUSE, RUN=runs[0], **BARE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "cannot be read as UTF-8: rename it, or set LC_ALL=C.UTF-8" in line


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("search.run", "analysis.py"),
        ("search.run", "trainables.py"),
        ("search.cluster", "analysis/__init__.py"),
        ("search.spot", "trainables/__init__.py"),
        ("analysis.report", "trainables.py"),
        ("analysis.compare", "trainables.py"),
        ("analysis.paper", "trainables/__init__.py"),
    ],
)
def test_a_file_with_the_name_of_our_own_is_named_in_one_line(command, file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("1 / 0")
    done = shell(f'"$PYTHON" -m {command} --help', tmp_path, PYTHONPATH=str(HOUSE))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path / file} has the name of this program's own" in line


HEAVY = {"matplotlib", "pandas", "ray", "scipy", "sklearn", "torch", "torchvision"}


@pytest.mark.parametrize(
    ("command", "words", "status"),
    [
        ("search.cluster", "--help", 0),
        ("search.cluster", "--no-such-option", 2),
        ("search.spot", "--help", 0),
        ("search.spot", "--no-such-option", 2),
        ("analysis.report", "--help", 0),
        ("analysis.compare", "--no-such-option", 2),
        ("analysis.paper", "--help", 0),
        ("search.run", "--help", 0),
        ("search.run", "--version", 0),
        ("search.run", "--no-such-option", 2),
        ("search.run", "--dataset cifar1O", 2),
        ("search.run", "--trials 0", 2),
        ("search.run", "--defense dp --epsilon 0", 2),
        ("search.run", "--resume runs/x --trials 3", 2),
        ("search.run", "--time-budget soon", 2),
    ],
)
def test_help_and_a_wrong_option_wait_for_no_large_package(command, words, status, tmp_path):
    line = f'"$PYTHON" -X importtime -m {command} {words}'
    done = shell(line, tmp_path, PYTHONPATH=str(HOUSE))
    imported = set(re.findall(r"^import time:.*\| +(\w+)$", done.stderr, re.MULTILINE))
    assert "argparse" in imported
    assert (done.returncode, imported & HEAVY) == (status, set())


@pytest.mark.parametrize("command", ["search.cluster", "analysis.paper"])
def test_other_files_of_the_working_folder_are_not_imported(command, tmp_path):
    for name in ("random", "yaml", "numpy", "jinja2", "notes"):
        (tmp_path / f"{name}.py").write_text("1 / 0")
    (tmp_path / "analysis").mkdir()  # a folder with notebooks
    done = shell(f'"$PYTHON" -m {command} --help', tmp_path, PYTHONPATH=str(HOUSE))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["search", "analysis", "trainables"])
def test_pythons_safe_path_runs_beside_any_file(name, tmp_path):
    (tmp_path / f"{name}.py").write_text("1 / 0")
    done = shell('"$PYTHON" -P -m search.cluster --help', tmp_path, PYTHONPATH=str(HOUSE))
    assert (done.returncode, done.stderr) == (0, "")
