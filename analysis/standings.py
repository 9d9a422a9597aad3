"""Race and confirmation: which vectors live, and at how many models."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.tables import Table, percent
from trainables.progress import FINISHED, RunProgress, VectorProgress, kind_of

RACED = "raced"
"""In config.json: level -> vectors in the order of their confirmation."""

Vector = tuple[tuple[int, ...], tuple[tuple[str, float], ...]]

OUT = "out"

_KINDS = ("race", "confirm")


def standings(
    progress: RunProgress | None, config: Mapping[str, Any], best: pd.Series | None
) -> list[dict[str, Any]]:
    """A dict per vector that raced or is confirmed, the living first: its models, and its state.

    best: the winner, a row of `statistics.confirmed`.
    """
    stages = [] if progress is None else progress.stages
    made: dict[Vector, dict[str, list[int]]] = {}
    latest: list[Vector] = []
    found: list[dict[str, Any]] = []
    for stage in stages:
        if stage.vectors and kind_of(stage.name) in _KINDS:
            latest = [_key(one) for one in stage.vectors]
            for one in stage.vectors:
                sums = made.setdefault(_key(one), {}).setdefault(kind_of(stage.name), [0, 0, 0])
                sums[:] = map(sum, zip(sums, (one.done, one.models, one.failed), strict=True))
    winner = None if best is None else _vector(best["n"], best["defense_parameters"])
    ended = progress is not None and progress.outcome == FINISHED
    for vector, counts in made.items():
        state = _state(counts, vector in latest, _chosen(config, vector), ended=ended)
        if vector == winner:
            state = "winner" if ended else "winner so far"
        found.append({"vector": vector, "models": counts, "state": state})
    return sorted(found, key=lambda one: one["state"].startswith(OUT))


def _state(
    counts: Mapping[str, list[int]], in_latest: bool, chosen: bool | None, *, ended: bool
) -> str:
    """chosen: whether it goes to confirmation, None while that is not decided."""
    if "confirm" in counts:
        return "being confirmed" if in_latest and not ended else "confirmed"
    if any(failed for _, _, failed in counts.values()):
        return f"{OUT}: a model failed"
    if chosen is None:
        return "racing" if in_latest else f"{OUT}: others were better"
    if not chosen:
        return f"{OUT}: others were better"
    return "raced, its turn did not come" if ended else "in, waits for confirmation"


def table(found: Sequence[Mapping[str, Any]], weights: int) -> Table:
    """The standings in words.  weights: all that could be kept."""
    return Table(
        caption="Vectors and their models, made of planned; the living first",
        headers=["vector", "state", "models of the race", "confirming models"],
        rows=[
            [
                name_of(number, one["vector"], weights),
                one["state"],
                *(_made(one["models"].get(kind)) for kind in _KINDS),
            ]
            for number, one in enumerate(found, 1)
        ],
        text_columns=2,
    )


def _made(counts: Sequence[int] | None) -> str:
    if counts is None:
        return "–"
    done, models, failed = counts
    return f"{done} of {models}" + (f", {failed} failed" if failed else "")


def name_of(number: int, vector: Vector, weights: int) -> str:
    """Which vector it is, in words: its place, the share it keeps, and its own numbers."""
    n, parameters = vector
    kept = f"keeps {percent(sum(n) / weights)}" if weights else ""
    return " ".join([f"{number}:", kept, *(f"{name} {value:.3g}" for name, value in parameters)])


def _key(one: VectorProgress) -> Vector:
    return _vector(one.n, one.parameters)


def _vector(n: Sequence[int], parameters: Mapping[str, float] | None) -> Vector:
    return tuple(map(int, n)), tuple(sorted((parameters or {}).items()))


def _chosen(config: Mapping[str, Any], vector: Vector) -> bool | None:
    """Whether it goes to confirmation at any level; None while the race runs, or without one."""
    levels = config.get(RACED)
    if levels is None:
        return None
    return any(vector == _vector(n, dict(numbers)) for _, order in levels for n, numbers in order)
