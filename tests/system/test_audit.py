"""--audit and --canaries through the program; a driver killed among the shadows goes on."""

import re
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.system.program import Program, rows
from tests.system.test_interruption import PATIENCE_S, kill_with_children, start
from trainables.records import AUDIT_SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = (
    *("--preset", "smoke", "--no-references", "--trials", 1, "--concurrency", 1),
    *("--canaries", 0.05, "--shadows", 4),
)
ATTACKS = {
    "lira": {
        *("lira-online", "lira-offline", "lira-online-own-variance"),
        *("adaptive", "rmia-2", "rmia-4", "loss"),
    },
    "rmia": {"adaptive", "rmia-4", "loss"},
}


def shadow_files(out: Path) -> dict[Path, int]:
    """What the audit's own trials left, and when."""
    found = (path for path in out.glob("tune/audit-*/reference-*/**/*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in found}


def check_scores(out: Path, kind: str) -> None:
    scores = pd.read_parquet(out / "audit/scores.parquet")
    assert list(scores.columns) == AUDIT_SCHEMA.names
    assert set(scores["model"]) == {"dense", "winner"}
    assert set(scores["attack"]) == ATTACKS[kind]
    for _, one in scores.groupby(["model", "attack"]):
        assert one["image"].tolist() == list(range(2000))
        assert one["is_member"].sum() == 1000
        assert one["canary"].sum() == 2 * 50
        assert one.loc[one["is_member"], "canary"].sum() == 50
    report = (out / "report.html").read_text()
    for attack in ATTACKS[kind]:
        assert attack in report
    assert re.search(r"(?i)canar", report)
    assert re.search(r"(?i)\broc\b", report)


def test_rmia_scores_every_image_and_a_resumed_run_trains_no_shadow_again(
    program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = program(*SMALL, "--audit", "rmia", "--sampler", "nsga2", "--out", out, covered=True)
    assert done.returncode == 0, done.stderr
    check_scores(out, "rmia")
    before = shadow_files(out)
    assert before
    scores = pd.read_parquet(out / "audit/scores.parquet")
    done = program("--resume", out)
    assert done.returncode == 0, done.stderr
    assert shadow_files(out) == before
    pd.testing.assert_frame_equal(pd.read_parquet(out / "audit/scores.parquet"), scores)


def test_a_run_killed_among_the_shadows_of_lira_goes_on(program: Program, tmp_path: Path) -> None:
    out, errors = tmp_path / "run", tmp_path / "errors"
    process = start(errors, *SMALL, "--audit", "lira", "--out", out)
    deadline = time.monotonic() + PATIENCE_S
    while not any(out.glob("tune/audit-*/reference-*")) and process.poll() is None:
        assert time.monotonic() < deadline, errors.read_text()
        time.sleep(0.02)
    assert process.poll() is None, errors.read_text()
    kill_with_children(process)
    assert not (out / "audit/scores.parquet").exists()
    confirmed = rows(out, "confirm").to_dict("records")
    done = program("--resume", out)
    assert done.returncode == 0, done.stderr
    check_scores(out, "lira")
    assert repr(rows(out, "confirm").to_dict("records")) == repr(confirmed)
    assert len(list(out.glob("audit/shadows-*.npz"))) == 1
    assert len(list(out.glob("tune/audit-*/reference-*"))) == 4
