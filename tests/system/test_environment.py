"""Where little is as on the author's machine: another user, no HOME, another Ray, load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.program import command, environment, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = ("--preset", "smoke", "--trials", 2, "--references", 0, "--confirm-top", 1)
HOUSE = Path(__file__).resolve().parents[2]
NOBODY = 65534

AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *(
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    ),
)
"""It reads what root installed, wherever that is, and writes nowhere but in /tmp."""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: root only")
def test_another_user_without_home_runs_beside_another_ray_among_files_named_as_modules(
    ray_cluster: str, tmp_path: Path
) -> None:
    for name in ("random", "torch", "queue", "safetensors"):
        (tmp_path / f"{name}.py").write_text("1 / 0")
    tmp_path.chmod(0o777)
    shell = {
        **environment(),
        "HOME": "/nonexistent",
        "RAY_ADDRESS": ray_cluster,
        "PYTHONPATH": str(HOUSE),
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        [*AS_NOBODY, *command(*SMALL, "--confirm-seeds", 1, "--out", "run")],
        cwd=tmp_path,
        env=shell,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run").stat().st_uid == NOBODY
    assert set(rows(tmp_path / "run", "search", "anchor")["state"]) == {"COMPLETE"}
    assert "1.00?" in done.stdout  # the multiplication sign is no ASCII


BURNERS = 7
BURN = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"


def test_ray_starts_on_a_machine_that_is_busy(own_home: Path) -> None:
    """With 3 processes to a core; how long it takes is not asked."""
    busy = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(BURNERS)]
    start = "from search.launch import cluster\nwith cluster('local') as nodes: print(len(nodes))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", start],
            cwd=HOUSE,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
