"""A crash between any two writes leaves a run that can be read and goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.program import environment

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_a_crash_at_every_single_write_leaves_a_readable_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.crashing", str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["crashes"] == 2 * found["writes"] > 100
