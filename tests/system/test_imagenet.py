"""ImageNet end to end: streamed from class folders, ahead of the trial by processes."""

from pathlib import Path

import pytest

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

ROW = ("--preset", "paper-table3-imagenet-mobilenetv2-smoke")
SMALL = ("--trials", 1, "--no-references", "--cpus-per-trial", 2)


def test_a_row_of_table_3_runs_end_to_end(
    program: Program, imagenet_folder: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    given = ("--data-dir", imagenet_folder, "--image-cache", cache, "--out", out)
    done = program(*ROW, *SMALL, *given)
    assert done.returncode == 0, done.stderr
    assert 0 < len(list(cache.rglob("*.npy"))) <= 80  # each image once
    assert "what is measured is membership in the fine-tuning" in done.stderr
    (confirmed,) = rows(out, "confirm").to_dict("records")
    assert (confirmed["dataset"], confirmed["nonzero"]) == ("imagenet", sum(confirmed["n"]))


def test_without_the_published_weights_one_line_says_what_to_fetch(
    program: Program, imagenet_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):  # no network, also where there is one
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for part in ("train", "val"):
        (tmp_path / part).symlink_to(imagenet_folder / part)
    done = program(*ROW, "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "fetch https://download.pytorch.org/models/mobilenet_v2-b0353104.pth" in line
    assert not (tmp_path / "run").exists()
