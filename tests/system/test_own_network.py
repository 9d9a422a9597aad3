"""A user's own trained network, from its checkpoint and the list of its members to a pruned one."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from tests.system.program import Program, rows
from tests.system.test_interruption import PATIENCE_S, kill_with_children, start
from tests.system.test_plugin import EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.system]

SHORT = """
from trainables.config import ADMMConfig
from trainables.data.registry import DATASETS
import dataclasses
DATASETS["mine"] = dataclasses.replace(
    DATASETS["mine"],
    admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=0.01, retrain_epochs=2),
)
"""
"""After the documents' example: its recipe of training is open, that of pruning short."""


def trained_network(members: np.ndarray) -> nn.Sequential:
    """The documents' network, trained in its users' own way."""
    data = load_digits()
    images = (torch.tensor(data.images * 15).to(torch.uint8)[:, None] / 255 - 0.5) / 0.25
    labels = torch.tensor(data.target).long()
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)
        for _ in range(30):
            for part in torch.randperm(len(members)).split(50):
                batch = torch.from_numpy(members)[part]
                optimizer.zero_grad()
                functional.cross_entropy(network(images[batch]), labels[batch]).backward()
                optimizer.step()
    return network


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """The program's, with all of a user's files."""
    members = np.sort(np.random.default_rng(0).permutation(1797)[:700])
    np.savetxt(tmp_path / "members.txt", members, fmt="%d")
    weights = trained_network(members).state_dict()
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "net.pt")
    (tmp_path / "mine.py").write_text(EXAMPLE + SHORT)
    return (
        *("--plugin", str(tmp_path / "mine.py"), "--dataset", "mine", "--model", "mine"),
        *("--dense", str(tmp_path / "net.pt"), "--members", str(tmp_path / "members.txt")),
        *("--trials", "3", "--sampler", "qmc", "--models", "4", "--no-race", "--no-more-models"),
        *("--max-accuracy-drop", "0.5", "--concurrency", "1"),
    )


def test_a_given_network_is_measured_matched_and_pruned_though_the_run_is_killed(
    words: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(tmp_path / "errors", *words, "--out", out)
    deadline = time.monotonic() + PATIENCE_S
    while not (out / "tune" / "fit-epochs").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None, (tmp_path / "errors").read_text()
    kill_with_children(process)
    done = program("--resume", out, "--concurrency", 1)
    assert done.returncode == 0, done.stderr

    given = torch.load(tmp_path / "net.pt", weights_only=True)
    dense = load_file(out / "baseline" / "model.safetensors")
    assert all(np.array_equal(dense[name], given[f"module.{name}"]) for name in dense)
    config = json.loads((out / "config.json").read_text())
    assert config["fitted_training"]["epochs"] in (10, 20, 40, 80)
    first, *_, last = config["given"]["said"]
    assert first.startswith("Your network: accuracy ")
    assert "eferences" in last
    assert config["split_sizes"]["members"] + config["split_sizes"].get("common", 0) == 700
    (winner,) = (out / "winner").glob("card.md")
    assert first in winner.read_text()
    confirmed = rows(out, "confirm")
    assert (confirmed["nonzero"] == confirmed["n"].map(sum)).all()

    (tmp_path / "net.pt").write_bytes(b"other")
    refused = program("--resume", out)
    assert refused.returncode == 2
    assert "has changed since the run began" in refused.stderr
