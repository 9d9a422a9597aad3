"""The report's accuracy against leak for plotly.js: the same points, marks and bounds, with hover.

Every figure here is a dict of plain values as plotly.js takes it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics, tables
from analysis.colours import BLUE, GAIN_LABEL, INK, MUTED, ORANGE, SHADE, VERMILLION
from analysis.load import RunRecord
from analysis.pareto import non_dominated
from trainables.records import COMPLETE, FAILED, PRUNED

Figure = dict[str, Any]

ALL_INTERVALS = 100
"""Of up to so many complete trials each interval is drawn; of more only those of the best
trade-offs, since the others would hide the points.  Each is told where one points at it."""

_QUANTILE = 1.96


def tradeoff(run: RunRecord, dense: pd.Series | None, confirmed: pd.DataFrame) -> Figure:
    """Validation accuracy against the search-time excess gain, as `figures.tradeoff` draws it.

    dense: a row of `statistics.dense`.  confirmed: rows of `statistics.confirmed`.
    """
    rows = statistics.search_trials(run.trials)
    informed = statistics.search_has_references(run.trials)
    complete = rows[rows["state"] == COMPLETE]
    bound = statistics.accuracy_bound(run.trials, run.config)
    traces = [*_kinds(complete), *_front(complete[complete["feasible"].eq(True)])]
    traces += _stopped(rows[rows["state"] == PRUNED])
    traces += _confirmed(confirmed)
    if dense is not None:
        gain = statistics.excess_as_in_search(dense["attack_gains"], informed=informed)
        point = [float(dense["val_accuracy"])], [gain]
        traces.append(_points(*point, "dense network", symbol="diamond", color=INK, size=12))
    failed = int((rows["state"] == FAILED).sum())
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "validation accuracy"}, "tickformat": ".1%"},
            "yaxis": {"title": {"text": GAIN_LABEL}, "rangemode": "tozero"},
            "shapes": _feasible_region(bound, complete, dense, confirmed),
            "annotations": _bound_in_words(bound),
        },
        "alt": f"Scatter of {len(complete)} complete trials: validation accuracy against excess "
        f"gain, with {len(confirmed)} confirmed vectors; {failed} failed trials are not drawn. "
        "Lower and further right is better.",
    }


def _kinds(complete: pd.DataFrame) -> list[Figure]:
    kinds = (("anchor", "square", ORANGE, "anchor"), ("search", "circle", BLUE, "suggested"))
    found = []
    for kind, symbol, colour, name in kinds:
        for feasible in (True, False):
            rows = complete[
                (complete["kind"] == kind) & (complete["feasible"].eq(True) == feasible)
            ]
            if rows.empty:
                continue
            words = f"{name}, {'feasible' if feasible else 'not feasible'}"
            shape = symbol if feasible else f"{symbol}-open"
            reach = _reach(rows) if len(complete) <= ALL_INTERVALS else None
            trace = _points(*_at(rows), words, symbol=shape, color=colour, size=9, reach=reach)
            found.append(trace | _hover(rows))
    return found


def _front(feasible: pd.DataFrame) -> list[Figure]:
    best = feasible[non_dominated(*map(np.array, _at(feasible)))].sort_values("val_accuracy")
    if len(best) < 2:
        return []
    x, y = _at(best)
    line = {"shape": "vh", "color": BLUE, "width": 1.2}
    trace = {"type": "scatter", "mode": "lines", "name": "best trade-offs", "x": x, "y": y}
    return [trace | {"line": line, "error_y": _bars(_reach(best), BLUE)} | _hover(best)]


def _stopped(stopped: pd.DataFrame) -> list[Figure]:
    """On the axis: only their accuracy is known."""
    known = stopped[stopped["val_accuracy"].notna()]
    if known.empty:
        return []
    x = _numbers(known["val_accuracy"])
    name = f"stopped early ({len(stopped)})"
    trace = _points(x, [0.0] * len(x), name, symbol="line-ns-open", color=MUTED, size=10)
    return [trace | {"text": list(known["trial_id"]), "hovertemplate": "%{text}: %{x:.2%}"}]


def _confirmed(confirmed: pd.DataFrame) -> list[Figure]:
    """Under the strongest attack, with the interval over trainings, halves and images."""
    found = []
    for kept, symbol in ((True, "star"), (False, "star-open")):
        rows = confirmed[confirmed["feasible"].eq(True) == kept]
        if rows.empty:
            continue
        name = f"confirmed, {'feasible' if kept else 'not feasible'}"
        low = _numbers(rows["excess_gain"] - rows["excess_gain_low"])
        high = _numbers(rows["excess_gain_high"] - rows["excess_gain"])
        bars = _bars(high, VERMILLION) | {"symmetric": False, "arrayminus": low, "width": 5}
        trace = _points(*_at(rows), name, symbol=symbol, color=VERMILLION, size=13)
        ends = zip(rows["excess_gain_low"], rows["excess_gain_high"], strict=True)
        said = [
            f"{trial[0]}: {tables.between(*end)}"
            for trial, end in zip(rows["trial_ids"], ends, strict=True)
        ]
        hover = {"text": said, "hovertemplate": "%{text}, %{y:.4f} nats at %{x:.2%}"}
        found.append(trace | {"error_y": bars} | hover)
    return found


def _points(
    x: list[float],
    y: list[float],
    name: str,
    *,
    symbol: str,
    color: str,
    size: int,
    reach: list[float] | None = None,
) -> Figure:
    trace: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "cliponaxis": len(x) > ALL_INTERVALS,
        "marker": {"symbol": symbol, "color": color, "size": size},
    }
    return trace if reach is None else trace | {"error_y": _bars(reach, color)}


def _bars(reach: list[float], color: str) -> Figure:
    return {"type": "data", "array": reach, "color": color, "thickness": 1, "width": 0}


def _hover(rows: pd.DataFrame) -> Figure:
    return {
        "customdata": list(zip(rows["trial_id"], _reach(rows), strict=True)),
        "hovertemplate": "%{customdata[0]}: %{y:.4f} ± %{customdata[1]:.4f} nats at %{x:.2%}",
    }


def _at(rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    return _numbers(rows["val_accuracy"]), _numbers(rows["excess_gain"])


def _reach(rows: pd.DataFrame) -> list[float]:
    return [_QUANTILE * error for error in _numbers(rows["attack_gain_se"])]


def _numbers(column: pd.Series) -> list[float]:
    """Six digits after the point: what is drawn needs no more, and 10,000 trials are sent."""
    return [round(float(value), 6) for value in column.astype(float)]


def _feasible_region(
    bound: float, complete: pd.DataFrame, dense: pd.Series | None, confirmed: pd.DataFrame
) -> Sequence[Figure]:
    if not math.isfinite(bound):
        return []
    seen = [bound, *complete["val_accuracy"].astype(float).dropna(), *confirmed["val_accuracy"]]
    if dense is not None:
        seen.append(float(dense["val_accuracy"]))
    region = {
        "type": "rect",
        "yref": "paper",
        "x0": bound,
        "x1": max(seen) + 0.06 * (max(seen) - min(seen)) + 0.002,
        "y0": 0,
        "y1": 1,
        "fillcolor": SHADE,
        "line": {"width": 0},
        "layer": "below",
    }
    return [region, region | {"x1": bound, "line": {"color": MUTED, "width": 1, "dash": "dot"}}]


def _bound_in_words(bound: float) -> Sequence[Figure]:
    if not math.isfinite(bound):
        return []
    return [
        {
            "x": bound,
            "y": 1,
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "text": f"feasible from {bound:.1%} →",
        }
    ]
