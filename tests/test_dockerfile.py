"""The Dockerfile: its linter is content, and what it copies is there and reaches the build."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def copied() -> list[str]:
    """What the last stage copies from the repository."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    return [
        word for line in re.findall(r"^COPY (.+) \S+$", last, re.MULTILINE) for word in line.split()
    ]


def lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HADOLINT, "-"], input=text, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_linter_finds_nothing():
    found = lint((ROOT / "Dockerfile").read_text())
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("fault", ["USER root", "RUN sudo true", "RUN cd / && pip install torch"])
def test_the_linter_would_find_a_fault(fault):
    assert lint((ROOT / "Dockerfile").read_text() + fault + "\n").returncode != 0


def test_all_that_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert set(copied()) == kept
    assert all((ROOT / name).exists() for name in kept)


def test_both_bases_are_pinned():
    bases = re.findall(r"^FROM (\S+) AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for _, name in bases] == ["cpu", "cuda"]
    assert all(re.search(r":\d+\.\d+", image) for image, _ in bases)
