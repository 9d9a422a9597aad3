"""The default search gives the rows of golden_rows.json; a new recipe, new rows."""

import importlib.metadata
import json
import math
from pathlib import Path

import pytest
import torch

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

GOLDEN = json.loads(Path(__file__).with_name("golden_rows.json").read_text())
"""Searched rows of the main job, and what they were made with: processors differ in last bits."""


def here() -> dict[str, object]:
    """What the rows depend on beside the code."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    return {
        "packages": {name: importlib.metadata.version(name) for name in GOLDEN["packages"]},
        "processor": cpu.strip("\t: "),
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


def plain(cell: object) -> object:
    """A cell of a frame as JSON would hold it."""
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, float) and math.isnan(cell):
        return None
    return dict(cell) if isinstance(cell, list) and cell and isinstance(cell[0], tuple) else cell


def nearly(cell: object) -> object:
    """A golden cell, its last bits aside: processors of one name differ in an attack's sums."""
    if isinstance(cell, float):
        return pytest.approx(cell, rel=1e-9, abs=1e-12)
    if isinstance(cell, dict):
        return {name: nearly(value) for name, value in cell.items()}
    return cell


def test_the_default_search_gives_the_golden_rows(program: Program, tmp_path: Path) -> None:
    """As many as a time budget allows: the anchors are the first 13 of them."""
    made_with = {name: GOLDEN[name] for name in here()}
    if here() != made_with:
        pytest.skip(f"the golden rows were made with {made_with}, and here is {here()}")
    done = program(
        *("--concurrency", 1, "--seed", 0, "--time-budget", "20s", "--no-references"),
        *("--confirm-top", 1, "--out", tmp_path / "run"),
    )
    assert done.returncode in (0, 3), done.stderr
    found = rows(tmp_path / "run", "anchor", "search").to_dict("records")
    assert found
    for row, golden in zip(found, GOLDEN["rows"], strict=False):
        assert {name: plain(row[name]) for name in golden} == {
            name: nearly(cell) for name, cell in golden.items()
        }
