"""What trackers show of a run and of its rows, in the forms that all of them take: flat and finite.

>>> flat({"seed": 0, "training": {"epochs": 11, "lr": None}})
{'seed': '0', 'training.epochs': '11', 'training.lr': 'None'}
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.track.protocol import Row, TrackedRun
from trainables.base.storage import Place
from trainables.outcome.feasible import NO, YES
from trainables.records import MEASURED

FEASIBLE = "feasible"
"""The tag of a child: yes or no, and undecided where a confirmed vector may keep the bound."""

_OF_A_ROW = ("trial_id", "number", "kind", "state", "seed", "defense", "pruner", "sampler", "error")
_ALWAYS_THERE = ("accuracy_violation", "compression_violation", "duration_s", "epochs")
_OF_AN_EPOCH = ("trial_id", "phase", "epoch")


def tracked_run(stored: Mapping[str, Any], folder: Place) -> TrackedRun:
    """The run that a config.json describes."""
    identity = f"{stored['run_id']} {stored['created_at']}"
    settings = {**stored["search"], "command": stored["command"], "packages": stored["packages"]}
    return TrackedRun(
        key=hashlib.sha256(identity.encode()).hexdigest()[:16],
        name=stored["run_id"],
        settings=flat(settings),
        folder=folder,
    )


def flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings by dotted names, their values as text."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": text for inner, text in flat(value).items()}
        else:
            found[name] = str(value)
    return found


def tags(row: Row) -> dict[str, str]:
    """What a child is searched by."""
    named = {name: str(row[name]) for name in _OF_A_ROW if row.get(name) is not None}
    return {**named, FEASIBLE: YES if row["feasible"] else NO}


def choices(row: Row) -> dict[str, float]:
    """What the search chose: of each layer the keep ratio, and the defence's own numbers."""
    layers = zip(row["layer_names"], row["layer_weights"], row["n"], strict=True)
    ratios = {f"keep_ratio.{name}": n / weights for name, weights, n in layers}
    return {**ratios, **(row.get("defense_parameters") or {})}


def figures(row: Row) -> dict[str, float]:
    """The numbers that were measured of a vector; every attack's gain by the attack's name."""
    gains = {f"gain.{name}": gain for name, gain in (row.get("attack_gains") or {}).items()}
    return _finite({name: row.get(name) for name in (*MEASURED, *_ALWAYS_THERE)} | gains)


def curves(epochs: Sequence[Row]) -> Iterator[tuple[str, int, float]]:
    """(name, epoch, value) of what was measured in each epoch, as retrain/val_accuracy."""
    for epoch in epochs:
        named = {name: value for name, value in epoch.items() if name not in _OF_AN_EPOCH}
        for name, value in _finite(named).items():
            yield f"{epoch['phase']}/{name}", int(epoch["epoch"]), value


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
