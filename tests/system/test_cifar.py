"""CIFAR end to end: each network on small files in CIFAR's own format; a clear line without."""

from pathlib import Path

import pytest

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = ("--preset", "smoke", "--trials", 1, "--references", 0, "--confirm-seeds", 1)


@pytest.mark.parametrize("model", ["resnet18", "vgg16", "mobilenetv2"])
def test_cifar10_runs_end_to_end(
    model: str, program: Program, cifar10_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = program(
        *("--dataset", "cifar10", "--model", model, "--data-dir", cifar10_folder, *SMALL),
        *("--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert (out / "winner/model.safetensors").exists()
    (confirmed,) = rows(out, "confirm").to_dict("records")
    assert confirmed["nonzero"] == sum(confirmed["n"])


def test_cifar100_runs_end_to_end(program: Program, cifar100_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = program(
        *("--dataset", "cifar100", "--model", "mobilenetv2", "--data-dir", cifar100_folder, *SMALL),
        *("--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert rows(out, "confirm")["model"].tolist() == ["mobilenetv2"]


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "mnist"])
def test_absent_data_are_one_line_that_says_what_to_do(
    dataset: str, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):  # no network, also where there is one
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = program("--dataset", dataset, "--data-dir", tmp_path / "data", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "nor can it be downloaded" in line
    assert "--data-dir" in line
    assert "Traceback" not in done.stderr
