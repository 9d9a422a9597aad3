"""A finished stage given to another run: whole or not at all, and its own from then on."""

import json
from pathlib import Path

import pytest

from search.tune import copied
from search.tune.copied import copy_stage
from search.tune.resume import has_snapshot


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    folder = tmp_path / "one" / "dense"
    (folder / "trial" / "checkpoint_000000").mkdir(parents=True)
    (folder / "trial" / "checkpoint_000000" / "model.safetensors").write_bytes(b"weights")
    (folder / "experiment_state-1.json").write_text(json.dumps({"trials": []}))
    return folder


def test_the_copy_can_be_restored_and_its_snapshot_is_its_own(
    finished: Path, tmp_path: Path
) -> None:
    target = tmp_path / "two" / "tune" / "dense"
    copy_stage(finished, target)
    assert has_snapshot(target)
    weights = Path("trial", "checkpoint_000000", "model.safetensors")
    assert (target / weights).read_bytes() == b"weights"
    assert (target / weights).samefile(finished / weights)
    (target / "experiment_state-1.json").write_text("{}")
    assert (finished / "experiment_state-1.json").read_text() != "{}"


def test_what_a_run_has_is_left_alone(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "two" / "dense"
    target.mkdir(parents=True)
    (target / "experiment_state-2.json").write_text("{}")
    copy_stage(finished, target)
    assert [file.name for file in target.iterdir()] == ["experiment_state-2.json"]


def test_a_copy_that_a_kill_cut_short_is_made_anew(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "two" / "dense"

    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(copied, "_copy_file", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_stage(finished, target)
    assert not target.exists()
    copy_stage(finished, target)
    assert has_snapshot(target)
    assert [file.name for file in target.parent.iterdir()] == ["dense"]


def test_where_a_disk_has_no_links_the_files_are_copied(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(copied.os, "link", refuse)
    copy_stage(finished, tmp_path / "two" / "dense")
    weights = Path("trial", "checkpoint_000000", "model.safetensors")
    assert not (tmp_path / "two" / "dense" / weights).samefile(finished / weights)
