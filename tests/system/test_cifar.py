"""CIFAR end to end on small files in CIFAR's own format; a clear line without."""

from pathlib import Path

import pytest

from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = ("--preset", "smoke", "--no-references", "--trials", 1, "--concurrency", 1)


@pytest.mark.parametrize(
    ("dataset", "model"),
    [("cifar10", "resnet18"), ("cifar100", "cnn4")],
)
def test_cifar_runs_end_to_end(
    dataset: str,
    model: str,
    program: Program,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Both formats; tests/test_paper_combinations.py trains every network of the paper on them."""
    out, data = tmp_path / "run", request.getfixturevalue(f"{dataset}_folder")
    done = program(
        *("--dataset", dataset, "--model", model, "--data-dir", data, *SMALL, "--out", out)
    )
    assert done.returncode == 0, done.stderr
    assert (out / "winner/model.safetensors").exists()
    (confirmed,) = rows(out, "confirm").to_dict("records")
    assert confirmed["model"] == model
    assert confirmed["nonzero"] == sum(confirmed["n"])


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "mnist", "fashion-mnist"])
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
