"""Every tracker shows the same of a run: a parent, a child per vector, curves, tags, the winner."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.track.protocol import Outcome, TrackedRun
from search.track.registry import TRACKERS, target_of
from tests.search.track.shown import Place, from_mlflow, from_tensorboard, from_wandb, mlflow_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(params=TRACKERS)
def tracker(request, monkeypatch) -> Place:
    """One of the registry; a new one needs a way to be read back here."""
    if request.param == "mlflow":
        address = request.getfixturevalue("server")
        return Place(f"mlflow://{address}", lambda folder: from_mlflow(address, folder.name))
    if request.param == "wandb":
        monkeypatch.setenv("WANDB_MODE", "offline")
        return Place("wandb://project", from_wandb)
    return Place({"tensorboard": "tensorboard"}[request.param], from_tensorboard)


def row(trial_id: str, **changes):
    return {
        "trial_id": trial_id,
        "number": 3,
        "kind": trial_id.partition("-")[0],
        "state": "COMPLETE",
        "feasible": True,
        "seed": 7,
        "defense": "pruning",
        "pruner": "admm",
        "sampler": "tpe",
        "started_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "duration_s": 60.0,
        "layer_names": ["conv1", "fc.2"],
        "layer_weights": [100, 1000],
        "n": [25, 500],
        "defense_parameters": {"rho": 0.125},
        "val_accuracy": 0.875,
        "excess_gain": 0.25,
        "js_divergence": float("nan"),
        "compression": 2.5,
        "attack_gains": {"adaptive": -1.25},
        "accuracy_violation": -0.5,
        "compression_violation": None,
        "epochs": 3,
        "error": None,
        **changes,
    }


FAILED = {
    "state": "FAILED",
    "feasible": False,
    "val_accuracy": None,
    "excess_gain": None,
    "attack_gains": None,
    "error": "the training loss became nan",
}
EPOCHS = [
    {"trial_id": "search-0003", "phase": phase, "epoch": epoch, "loss": loss, "rho": None}
    for phase, epoch, loss in [("admm", 0, 2.0), ("admm", 1, 1.5), ("retrain", 0, 1.25)]
]
CURVES = {"admm/loss": {0: 2.0, 1: 1.5}, "retrain/loss": {0: 1.25}}


def a_run(folder: Path) -> TrackedRun:
    folder.mkdir(exist_ok=True)
    settings = {"dataset": "mnist5k", "training.epochs": "11"}
    key = f"{abs(hash(folder)):x}"
    return TrackedRun(key=key, name=folder.name, settings=settings, folder=folder)


def told(folder: Path) -> Outcome:
    winner = folder / "winner"
    winner.mkdir(exist_ok=True)
    (winner / "card.md").write_text("What was measured")
    (winner / "model.safetensors").write_bytes(b"weights")
    return Outcome(
        winner="confirm-0000",
        verdicts={"confirm-0000": "undecided"},
        figures={"excess_gain": 0.125},
        files=sorted(winner.iterdir()),
    )


def test_a_run_is_shown_whole(tracker, tmp_path, request) -> None:
    folder = tmp_path / f"whole-{request.node.callspec.id}"
    run, client = a_run(folder), target_of(tracker.asked).tracker()
    assert client.start(run) == {}
    client.vector(row("search-0003"), EPOCHS)
    client.vector(row("search-0004", **FAILED), [])
    client.vector(row("confirm-0000"), [])
    client.winner(told(folder))
    client.close(finished=True)

    shown = tracker.read(folder)
    (parent,) = shown.parents
    assert "mnist5k" in str(parent.tags)
    assert parent.tags["winner"] == "confirm-0000"
    assert parent.figures["excess_gain"] == 0.125
    assert shown.files["card.md"] == b"What was measured"
    if not tracker.asked.startswith("tensorboard"):  # which keeps no files
        assert shown.files["model.safetensors"] == b"weights"

    children = shown.by_name
    assert set(children) == {"search-0003", "search-0004", "confirm-0000"}
    good, failed = children["search-0003"], children["search-0004"]
    assert good.curves == CURVES
    assert good.figures["excess_gain"] == 0.25
    assert good.figures["gain.adaptive"] == -1.25
    assert "js_divergence" not in good.figures
    assert "excess_gain" not in failed.figures
    assert {name: child.tags["feasible"] for name, child in children.items()} == {
        "search-0003": "yes",
        "search-0004": "no",
        "confirm-0000": "undecided",
    }
    assert (failed.tags["state"], failed.tags["error"]) == ("FAILED", FAILED["error"])


def test_a_resumed_run_goes_on_with_the_same_parent_and_children(
    tracker, tmp_path, request
) -> None:
    folder = tmp_path / f"resumed-{request.node.callspec.id}"
    run, first = a_run(folder), target_of(tracker.asked).tracker()
    first.start(run)
    first.vector(row("search-0003"), EPOCHS)
    first.vector(row("search-0004", **FAILED), [])
    first.close(finished=False)

    again = target_of(tracker.asked).tracker()
    there = again.start(run)
    assert there in ({"search-0003": "COMPLETE", "search-0004": "FAILED"}, {})
    again.vector(row("search-0003"), EPOCHS)  # as one that was cut off before it was known whole
    again.vector(row("search-0004"), [])  # failed before, and was tried again
    again.vector(row("search-0005"), [])
    again.close(finished=True)

    shown = tracker.read(folder)
    assert len(shown.parents) == 1
    children = shown.by_name
    assert set(children) == {"search-0003", "search-0004", "search-0005"}
    assert children["search-0003"].curves == CURVES
    assert children["search-0004"].tags["state"] == "COMPLETE"
    assert children["search-0004"].tags["feasible"] == "yes"
