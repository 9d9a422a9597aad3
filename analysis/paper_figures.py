"""What Figures 2 and 3 of the paper show, read from our runs: loss by epoch, and weights."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from analysis.load import RunRecord
from analysis.run_kind import task_of
from analysis.side_by_side import Measured, measured_as
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place
from trainables.defenses.registry import named
from trainables.paper import SYSTEMS

PAPERS = ("cifar10", "vgg16")
"""The data set and network of both figures."""

FIGURE2 = ("none", "pruning", "minmax")
FIGURE3 = (*FIGURE2, "pruning+minmax")


def task_shown(runs: Sequence[RunRecord]) -> tuple[str, str] | None:
    """The paper's own task where it was run, else the one with the most of the paper's systems."""
    given = list(dict.fromkeys(map(task_of, runs)))
    if PAPERS in given or not given:
        return PAPERS if given else None
    return max(given, key=lambda task: sum(bool(measured_as(runs, task, s)) for s in FIGURE3))


def loss_curves(runs: Sequence[RunRecord], task: tuple[str, str]) -> dict[str, pd.DataFrame | None]:
    """System -> epoch, loss, attack_accuracy: means over the trainings of its cell."""
    return {
        SYSTEMS[system]: _curve(found[0]) if (found := measured_as(runs, task, system)) else None
        for system in FIGURE2
    }


def _curve(measured: Measured) -> pd.DataFrame:
    epochs = measured.run.epochs
    rows = epochs[epochs["trial_id"].isin(measured.rows["trial_id"])]
    return rows.groupby("epoch", as_index=False)[["loss", "attack_accuracy"]].mean()


def weights(
    runs: Sequence[RunRecord], task: tuple[str, str]
) -> dict[str, NDArray[np.float32] | None]:
    """System -> all prunable weights of one network; None where there is no such network."""
    return {
        SYSTEMS[system]: _weights(found[0]) if (found := measured_as(runs, task, system)) else None
        for system in FIGURE3
    }


def _weights(measured: Measured) -> NDArray[np.float32] | None:
    """Weights of the winner's median seed; for the baseline, of the same run's dense network."""
    folder = "baseline" if named(measured.defense).is_bare else "winner"
    file = measured.run.path / folder / "model.safetensors"
    if not file.exists():
        return None
    tensors = _read(file)
    layers = [f"{name}.weight" for name in measured.rows.iloc[0]["layer_names"]]
    found = [tensors[name].ravel() for name in layers if name in tensors]
    return np.concatenate(found).astype(np.float32) if found else None


def _read(file: Place) -> dict[str, NDArray[np.float32]]:
    try:
        tensors = dict(load(file.read_bytes()))
        whole = all(np.isfinite(tensor).all() for tensor in tensors.values())
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {one_line(error)}") from error
    if not whole:
        raise InvalidInput(f"{file} holds weights that are not finite: it is damaged")
    return tensors
