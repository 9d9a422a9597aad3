"""The documents' example, and a file beside it that it imports, run as they say."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.documents import everything
from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

DOCUMENTS = everything()
(EXAMPLE,) = re.findall(r"^```python\n(import torch\n.*?)^```", DOCUMENTS, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"-m search.run (--plugin my_model.py .*)", DOCUMENTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_model.py").write_text(f"import beside_it\n{EXAMPLE}")
    (folder / "beside_it.py").write_text("HERE = 1\n")
    return folder


@pytest.fixture(scope="module")
def run(program: Program, folder: Path) -> Path:
    done = program(*COMMAND.split(), "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_example_of_the_readme_runs_on_workers(run: Path) -> None:
    confirmed = rows(run, "confirm")
    assert set(confirmed["dataset"]) == set(confirmed["model"]) == {"mine"}
    assert (confirmed["nonzero"] == confirmed["n"].map(sum)).all()
    assert json.loads((run / "config.json").read_text())["search"]["plugin"]


def test_a_finished_run_is_resumed_with_the_same_file_only(
    run: Path, folder: Path, program: Program
) -> None:
    done = program("--resume", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "beside_it.py").write_text("HERE = 2\n")
    done = program("--resume", "run", cwd=folder)
    assert done.returncode == 2
    assert "or a file beside it that it imports, has changed since the run began" in done.stderr
    (folder / "my_model.py").write_text(f"{EXAMPLE}# changed\n")
    done = program("--resume", "run", cwd=folder)
    assert done.returncode == 2
    assert "has changed since the run began" in done.stderr
    (folder / "my_model.py").unlink()
    done = program("--resume", "run", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


ODD = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from trainables.plugin import register_dataset, register_model


class Odd(nn.Module):  # view, tied weights, a frozen layer, batch norm, two outputs in training
    def __init__(self, n_classes, image_shape):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.frozen = nn.Linear(256, 32).requires_grad_(False)
        self.norm = nn.BatchNorm1d(32)
        self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 32)
        self.b.weight = self.a.weight
        self.head = nn.Linear(32, n_classes)

    def forward(self, images):
        hidden = torch.relu(self.conv(images)).view(images.size(0), -1)
        hidden = torch.relu(self.norm(self.frozen(hidden)))
        hidden = torch.relu(self.b(torch.relu(self.a(hidden))))
        logits = self.head(hidden)
        return (logits, hidden) if self.training else logits


def two_digits(folder):  # 33 members: one more than a batch
    data = load_digits()
    keep = [i for c, n in ((0, 80), (1, 85)) for i in (data.target == c).nonzero()[0][:n]]
    images = torch.tensor(data.images[keep] * 15).to(torch.uint8)[:, None]
    return TensorDataset(images, torch.tensor(data.target[keep]))


register_model("odd", Odd)
register_dataset("two", two_digits, n_classes=2, image_shape=(1, 8, 8), default_model="odd")
"""


def test_an_odd_network_has_true_numbers_in_the_rows_and_in_the_file(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    words = "--plugin odd.py --dataset two --preset smoke --max-accuracy-drop 0.5 --out run"
    counts = "--trials 3 --sampler gp --confirm-top 1"
    done = program(*words.split(), *counts.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Not pruned: frozen.weight (it is frozen)" in done.stderr
    (dense,), (best,) = (
        rows(tmp_path / "run", "baseline").to_dict("records"),
        rows(tmp_path / "run", "confirm").to_dict("records"),
    )
    epochs = pd.read_parquet(tmp_path / "run" / "epochs.parquet")
    last = epochs[epochs["phase"] == "dense"].sort_values("epoch").iloc[-1]
    assert last["val_accuracy"] == dense["val_accuracy"]
    assert list(dense["layer_names"]) == ["conv", "a", "head"]
    stored = load_file(tmp_path / "run" / "winner" / "model.safetensors")
    pruned = [stored[f"{name}.weight"] for name in ("conv", "a", "head")]
    assert sum(np.count_nonzero(weight) for weight in pruned) == best["nonzero"] == sum(best["n"])
    assert sum(weight.size for weight in pruned) == best["weights"] == 36 + 1024 + 64
    assert best["compression"] == pytest.approx(best["weights"] / best["nonzero"])


def test_a_broken_file_ends_with_status_2(program: Program, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text("1 / 0")
    done = program("--plugin", "my_model.py", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "ZeroDivisionError" in line
    assert "Traceback" not in done.stderr
