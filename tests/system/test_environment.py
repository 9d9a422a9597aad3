"""Where little is as on the author's machine: another user, no HOME, another Ray, load."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.program import command, environment, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = (
    *("--preset", "smoke", "--no-references", "--trials", 1, "--confirm-top", 1),
    *("--concurrency", 1),
)
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


STARTED = """
import sys
from search.tune.join import cluster
with cluster("local"):
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def another_ray(own_home: Path) -> Iterator[str]:
    """The address of a real Ray of another user, root, on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED],
        cwd=HOUSE,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate("")
        assert process.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: root only")
def test_another_user_without_home_runs_beside_another_ray_among_files_named_as_modules(
    another_ray: str, tmp_path: Path
) -> None:
    for name in ("random", "torch", "queue", "safetensors"):
        (tmp_path / f"{name}.py").write_text("1 / 0")
    tmp_path.chmod(0o777)
    shell = {
        **environment(),
        "HOME": "/nonexistent",
        "RAY_ADDRESS": another_ray,
        "PYTHONPATH": str(HOUSE),
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        [*AS_NOBODY, *command(*SMALL, "--out", "run")],
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


BUSY = """
import os, subprocess, sys
from search.tune.join import cluster
burn = "import time\\nend = time.monotonic() + 300\\nwhile time.monotonic() < end: pass"
busy = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(7)]
try:
    with cluster("local") as nodes:
        command = ["ps", "-ww", "-o", "args", "--ppid", str(os.getpid())]
        ours = subprocess.run(command, capture_output=True)
        print(len(nodes), b"gcs_server" in ours.stdout, b"--disable-frontend" in ours.stdout)
finally:
    for process in busy:
        process.kill()
        process.wait()
"""


def test_ray_starts_on_a_machine_that_is_busy(own_home: Path) -> None:
    """Beside seven processes that never rest; how long it takes is not asked."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY],
        cwd=HOUSE,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 True True\n"), done.stderr
