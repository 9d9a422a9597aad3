"""What the cluster test needs: each tool is in CI's list, and one that is missing is named."""

import os
from pathlib import Path

import pytest

from tests.system import hosts

ROOT = Path(__file__).resolve().parents[2]


def test_ci_brings_every_tool_that_the_cluster_test_runs() -> None:
    listed = (ROOT / ".ci" / "run").read_text()
    for package in set(hosts.TOOLS.values()) - {"util-linux"}:  # Debian is never without that
        assert f"missing+=({package})" in listed, package


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts.sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        hosts.shutil, "which", lambda tool, path: None if tool in ("curl", "ip") else tool
    )
    assert hosts.why_not_here() == "curl, ip missing: apt-get install curl iproute2"
