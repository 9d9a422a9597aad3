"""Accuracy against leak: the trials of one run, its front, and the fronts of several defences."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.colours import BLUE, GAIN_LABEL, INK, MUTED, ORANGE, SHADE, VERMILLION
from analysis.figures.drawing import (
    MARKERS,
    SERIES,
    STYLE,
    canvas,
    label_point,
    percent_axis,
    svg,
    with_tips,
)
from analysis.pareto import non_dominated
from analysis.statistics import Interval, excess_as_in_search, search_has_references, search_trials
from trainables.base import noun
from trainables.outcome.feasible import YES
from trainables.records import FrontRecord


def tradeoff(
    trials: pd.DataFrame, dense: pd.Series | None, best: pd.Series | None, bound: float
) -> str:
    """Validation accuracy against the search-time excess gain of every trial.

    dense: the baseline's row. best: the winner, a row of `confirmed`. bound: least feasible
    validation accuracy.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.6)
        rows, informed = search_trials(trials), search_has_references(trials)
        complete = rows[rows["state"] == "COMPLETE"]
        _shade_feasible(axes, complete, dense, bound)
        _scatter(axes, complete)
        _front(axes, complete[complete["feasible"].eq(True)])
        _stopped_and_failed(axes, rows)
        if dense is not None:
            gain = excess_as_in_search(dense["attack_gains"], informed=informed)
            axes.plot(dense["val_accuracy"], gain, "D", color=INK, markersize=9, zorder=5)
            label_point(axes, "dense", (dense["val_accuracy"], gain), shift=(-10, 0))
        if best is not None:
            leak = excess_as_in_search(best["attack_gains"], informed=informed)
            at = (float(best["val_accuracy"]), leak)
            axes.plot(*at, "*", color=VERMILLION, markersize=17, markeredgecolor="white", zorder=6)
            label_point(axes, "winner, confirmed", at, shift=(-12, 0))
        axes.margins(y=0.08)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        percent_axis(axes, "validation accuracy")
        axes.set_ylabel(f"search-time {GAIN_LABEL}")
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            "tradeoff",
            f"Scatter of {len(complete)} complete trials: validation accuracy against excess gain; "
            "lower and further right is better.",
        )


def _shade_feasible(
    axes: Axes, complete: pd.DataFrame, dense: pd.Series | None, bound: float
) -> None:
    if not math.isfinite(bound):
        return
    seen = [bound, *complete["val_accuracy"].astype(float).dropna()]
    if dense is not None:
        seen.append(float(dense["val_accuracy"]))
    margin = 0.06 * (max(seen) - min(seen)) + 0.002
    axes.set_xlim(min(seen) - margin, max(seen) + margin)
    axes.axvspan(bound, max(seen) + margin, color=SHADE, zorder=0, label="accuracy is feasible")


def _scatter(axes: Axes, complete: pd.DataFrame) -> None:
    kinds = (("anchor", "s", ORANGE, "anchor"), ("search", "o", BLUE, "suggested"))
    for kind, marker, colour, name in kinds:
        for feasible in (True, False):
            rows = complete[
                (complete["kind"] == kind) & (complete["feasible"].eq(True) == feasible)
            ]
            if rows.empty:
                continue
            points = axes.scatter(
                rows["val_accuracy"].astype(float),
                rows["excess_gain"].astype(float),
                marker=marker,
                s=42,
                facecolor=colour if feasible else "none",
                edgecolor=colour,
                label=f"{name}, {'feasible' if feasible else 'not feasible'}",
                zorder=3,
            )
            with_tips(points, [_in_words(row) for _, row in rows.iterrows()])


MOST_NAMED = 12
"""The most layers whose shares stand in a point's words."""


def _in_words(row: pd.Series) -> str:
    """What a trial tried and got, for the pointer."""
    kept = [
        f"{name} {n / weights:.1%}"
        for name, n, weights in zip(row["layer_names"], row["n"], row["layer_weights"], strict=True)
    ]
    more = f" and {len(kept) - MOST_NAMED} layers more" if len(kept) > MOST_NAMED else ""
    return (
        f"{row['trial_id']}: {row['excess_gain']:.4f} nats, {row['val_accuracy']:.1%}, "
        f"{row['compression']:.1f}×; keeps {', '.join(kept[:MOST_NAMED])}{more}"
    )


def _front(axes: Axes, feasible: pd.DataFrame) -> None:
    accuracy = feasible["val_accuracy"].to_numpy(dtype=float)
    gain = feasible["excess_gain"].to_numpy(dtype=float)
    front = non_dominated(accuracy, gain)
    if front.sum() < 2:
        return
    order = np.argsort(accuracy[front])
    axes.plot(
        accuracy[front][order],
        gain[front][order],
        drawstyle="steps-pre",
        color=BLUE,
        linewidth=1.2,
        alpha=0.7,
        zorder=2,
        label="best trade-offs",
    )


def _stopped_and_failed(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw stopped trials, which only have an accuracy, as ticks on the axis; count failed ones."""
    stopped = rows[rows["state"] == "PRUNED"]
    floor = axes.get_xaxis_transform()
    accuracy = stopped["val_accuracy"].astype(float).dropna()
    if not stopped.empty:
        left, right = axes.get_xlim()
        inside = accuracy[accuracy.between(left, right)]
        outside = len(stopped) - len(inside)
        suffix = f", {outside} beyond the axis" if outside else ""
        axes.plot(
            inside,
            np.full(len(inside), 0.02),
            "|",
            color=MUTED,
            markersize=11,
            markeredgewidth=1.6,
            transform=floor,
            label=f"stopped early ({len(stopped)}{suffix})",
        )
    failed = int((rows["state"] == "FAILED").sum())
    if failed:
        axes.plot([], [], "x", color=VERMILLION, label=f"failed ({failed}, not drawn)")


def front(records: Sequence[FrontRecord], dense: pd.Series) -> str:
    """Accuracy lost against excess gain of the vector of each level, with intervals.

    dense: a row of `statistics.dense`.
    """
    vectors = dict.fromkeys(one.trial_id for one in records if one.trial_id is not None)
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.6)
        for record in records:
            axes.axvline(record.level, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        for trial_id in vectors:
            _vector_of_levels(axes, [one for one in records if one.trial_id == trial_id])
        axes.plot(0.0, float(dense["excess_gain"]), "D", color=INK, markersize=9, zorder=5)
        label_point(axes, "dense", (0.0, float(dense["excess_gain"])), shift=(10, 0))
        axes.plot([], [], ":", color=MUTED, label="allowed drop")
        axes.margins(x=0.12, y=0.08)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        percent_axis(axes, f"accuracy lost on unseen {noun.many()}")
        axes.set_ylabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            "front",
            f"Accuracy lost against excess gain of the {len(vectors)} vectors that leak least at "
            f"{len(records)} allowed drops; lower and further left is better.",
        )


def _vector_of_levels(axes: Axes, records: Sequence[FrontRecord]) -> None:
    """One vector, by its records; filled where it surely keeps all of their levels."""
    record, sure = records[0], all(one.kept == YES for one in records)
    at = (record.drop or 0.0, record.excess_gain or 0.0)
    axes.errorbar(
        *at,
        xerr=_reach(record.drop_low, at[0], record.drop_high),
        yerr=_reach(record.excess_gain_low, at[1], record.excess_gain_high),
        fmt="o",
        color=BLUE,
        markersize=9,
        markerfacecolor=BLUE if sure else "white",
        elinewidth=1.2,
        zorder=4,
    )
    label_point(axes, ", ".join(f"{100 * one.level:g}%" for one in records), at, shift=(8, 10))


def _reach(low: float | None, value: float, high: float | None) -> list[list[float]] | None:
    """The arms of an error bar; None where the interval is not known."""
    return None if low is None or high is None else [[value - low], [high - value]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """One defence's trials, for `fronts`."""

    trials: pd.DataFrame
    """Complete searched trials: val_accuracy, excess_gain."""

    confirmed: Sequence[tuple[float, Interval]]
    """Validation accuracy and excess gain of each confirmed candidate."""


FARTHEST = 0.15
"""`fronts` reaches at least this far below the dense network's validation accuracy."""


def fronts(name: str, defenses: Mapping[str, Front], dense: pd.Series | None) -> str:
    """Accuracy against excess gain of several defences: trials, best trade-offs, confirmed values.

    name: the picture's, unique in its page. dense: the row of a dense network.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(5.2)
        least = _least_shown(defenses.values(), dense)
        for index, (defense, front) in enumerate(defenses.items()):
            shown = front.trials[front.trials["val_accuracy"] >= least]
            colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            _one_front(axes, defense, dataclasses.replace(front, trials=shown), colour, marker)
        _say_what_is_hidden(axes, defenses.values(), least)
        if dense is not None:
            at = (float(dense["val_accuracy"]), float(dense["excess_gain"]))
            axes.plot(*at, "D", color=INK, markersize=9, zorder=5)
            label_point(axes, "dense", at, shift=(-10, 0))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        percent_axis(axes, "validation accuracy")
        axes.set_ylabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            name,
            f"Validation accuracy against excess gain of {', '.join(defenses)}; lower and further "
            "right is better.",
        )


def _least_shown(fronts: Collection[Front], dense: pd.Series | None) -> float:
    """The validation accuracy at which the picture begins, low enough for confirmed candidates.

    Otherwise a few networks that learned nothing would squeeze all others into a corner.
    """
    if dense is None:
        return 0.0
    confirmed = [at - 0.01 for front in fronts for at, _ in front.confirmed]
    return min([float(dense["val_accuracy"]) - FARTHEST, *confirmed])


def _say_what_is_hidden(axes: Axes, fronts: Collection[Front], least: float) -> None:
    hidden = sum(int((front.trials["val_accuracy"] < least).sum()) for front in fronts)
    if hidden:
        axes.text(
            *(0.01, 0.97),
            f"\N{LEFTWARDS ARROW} searched trials further left, not shown: {hidden}",
            transform=axes.transAxes,
            color=MUTED,
            fontsize=9,
            va="top",
        )


def _one_front(axes: Axes, defense: str, front: Front, colour: str, marker: str) -> None:
    accuracy = front.trials["val_accuracy"].to_numpy(dtype=float)
    gain = front.trials["excess_gain"].to_numpy(dtype=float)
    axes.scatter(
        *(accuracy, gain),
        marker=marker,
        s=26,
        facecolor="none",
        edgecolor=colour,
        alpha=0.55,
        zorder=2,
        label=None if front.confirmed else f"{defense}, search only",
    )
    best = non_dominated(accuracy, gain)
    order = np.argsort(accuracy[best])
    axes.plot(
        accuracy[best][order],
        gain[best][order],
        drawstyle="steps-pre",
        color=colour,
        linewidth=1.1,
        alpha=0.7,
    )
    for index, (at, interval) in enumerate(front.confirmed):
        reach = [[interval.estimate - interval.low], [interval.high - interval.estimate]]
        axes.errorbar(
            at,
            interval.estimate,
            yerr=reach,
            fmt=marker,
            color=colour,
            markersize=9,
            markeredgecolor="white",
            elinewidth=1.2,
            zorder=4,
            label=f"{defense}, confirmed" if index == 0 else None,
        )
