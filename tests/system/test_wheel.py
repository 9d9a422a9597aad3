"""The wheel, installed into an environment of its own: commands and library work from anywhere."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.system.program import environment
from tests.test_dockerfile import copied

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("analysis", "search", "trainables")

VECTOR = """
import doctest, sys
import trainables
found = doctest.testmod(trainables)
assert found.attempted > 5 and found.failed == 0, found
assert "ray" not in sys.modules, "the library imported Ray"
print(trainables.__file__)
"""


def call(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env={name: value for name, value in environment().items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )


def done(*words: object, folder: Path) -> str:
    """What a command prints; it must succeed."""
    ended = call(*words, folder=folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the Dockerfile copies, which the build leaves its own files in."""
    copy = tmp_path_factory.mktemp("source")
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            shutil.copy(ROOT / name, copy / name)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    done(*pip, "--wheel-dir", copy / "dist", copy, folder=copy)
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on is that of these tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    done(*pip, wheel, folder=home)  # first: it must not see, and replace, the tests' own
    own = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    Path(own, "dependencies.pth").write_text(sysconfig.get_path("purelib") + os.linesep)
    return home / "bin"


def test_the_wheel_holds_templates_and_types_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    templates = {path.name for path in (ROOT / "analysis" / "templates").iterdir()}
    assert {Path(name).name for name in names if "/templates/" in name} == templates
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == set(PACKAGES)


def test_its_command_plans_a_run_from_another_folder(bin_folder: Path, tmp_path: Path) -> None:
    command = bin_folder / "prune-privacy"
    assert "commands:" in done(command, "--help", folder=tmp_path)
    assert done(command, "--version", folder=tmp_path).startswith("prune-privacy ")
    plan = done(command, "run", "--dry-run", folder=tmp_path)
    assert "mnist5k" in plan
    refused = call(command, "run", "--trials", "0", folder=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_it_measures_a_vector_without_ray(bin_folder: Path, tmp_path: Path) -> None:
    found = done(bin_folder / "python", "-c", VECTOR, folder=tmp_path)
    assert Path(found.strip()).is_relative_to(bin_folder.parent)


def test_its_page_of_the_paper_finds_its_templates(bin_folder: Path, tmp_path: Path) -> None:
    done(bin_folder / "prune-privacy", "paper", folder=tmp_path)
    assert "</html>" in (tmp_path / "paper.html").read_text()
