"""The repository is what it says it is: folders, packages, versions and pins agree."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("analysis", "search", "trainables")
FOLDERS = {*PACKAGES, ".ci", "docs", "tests"}
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+)/")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def files():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_the_top_level_holds_only_the_agreed_folders(files):
    assert {path.parts[0] for path in files if len(path.parts) > 1} <= FOLDERS


def test_every_folder_with_code_is_a_package_that_pyproject_names(project, files):
    folders = {
        ".".join(path.parent.parts)
        for path in files
        if path.suffix == ".py" and path.parts[0] in PACKAGES
    }
    assert folders == set(project["tool"]["setuptools"]["packages"])
    for package in folders:
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file()


def test_every_data_file_of_a_package_is_shipped(project, files):
    shipped = {
        path.relative_to(ROOT)
        for package, globs in project["tool"]["setuptools"]["package-data"].items()
        for glob in globs
        for path in (ROOT / package).glob(glob)
    }
    data = {path for path in files if path.parts[0] in PACKAGES and path.suffix != ".py"}
    assert data == shipped


def test_no_file_holds_a_path_of_one_machine(files):
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in files
        if b"\0" not in (content := (ROOT / path).read_bytes())
        for number, line in enumerate(content.decode().splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_the_newest_entry_of_the_changelog_is_this_version(project):
    [newest, *_] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == project["project"]["version"]


def test_every_python_that_is_promised_is_in_the_matrix(project):
    [listed] = re.findall(r"^PYTHONS = \((.+)\)$", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    pythons = re.findall(r'"([\d.]+)"', listed)
    assert project["project"]["requires-python"] == f">={pythons[0]}"
    named = re.findall(r"Python :: ([\d.]+)", " ".join(project["project"]["classifiers"]))
    assert set(named) <= set(pythons)


def test_what_was_tested_lies_within_the_bounds(project, pins):
    extras = project["project"]["optional-dependencies"].values()
    for line in (
        *project["project"]["dependencies"],
        *(line for extra in extras for line in extra),
    ):
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_constraints_hold_exact_versions_and_no_addresses(pins):
    for name, version in pins.items():
        assert re.fullmatch(r"\d[\w.!+-]*", version), name


def test_the_server_runs_what_a_user_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^exec make test\b", script.read_text(), re.MULTILINE)
