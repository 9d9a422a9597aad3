"""Every picture of the reports, as inline SVG: tables in, markup out.

Colours are Okabe and Ito's, which people with any common colour blindness can distinguish;
kinds of points also differ in shape. Text stays text, so that it can be read aloud, searched and
copied.
"""

import dataclasses
import html
import io
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from analysis.pareto import non_dominated
from analysis.roc import Curve
from analysis.statistics import LOG4, Interval, best_so_far, family_excess, search_trials
from trainables.records import COMPARATOR

BLUE, ORANGE, VERMILLION, GREEN, PURPLE = "#0072B2", "#E69F00", "#D55E00", "#007A5A", "#A4437F"
INK, MUTED, RULE, SHADE = "#1a2230", "#5b6675", "#d9dee5", "#e6f2ec"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, INK)
MARKERS = ("o", "s", "^", "v", "P", "X", "D", "<", ">")

_STYLE: dict[Any, Any] = {  # the stubs want each key as a literal
    "svg.fonttype": "none",
    "svg.hashsalt": "analysis",
    "text.parse_math": False,  # names come from outside; a "$" in one is not a formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: measures the same everywhere
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
}

_GAIN_LABEL = "excess gain (nats; 0 = no leak)"


def _canvas(height: float, *, width: float = 8.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _logarithmic(axes: Axes, which: str, *, percent: bool = False) -> None:
    """Make an axis logarithmic, with plain numbers: powers of ten would be set as formulas."""
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = getattr(axes, f"{which}axis")
    plain = FuncFormatter(lambda value, _: f"{100 * value:g}%" if percent else f"{value:g}")
    axis.set_major_formatter(plain)
    low, high = axis.get_data_interval()
    if low > 0 and high / low < 10:  # no power of ten lies within
        axis.set_minor_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axis.set_minor_formatter(plain)
    else:
        axis.set_minor_formatter(NullFormatter())


def _svg(figure: Figure, name: str, description: str) -> str:
    """One self-contained <svg> that refers to nothing outside; its ids are unique in the page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        # the reader's browser draws the text, in its own fonts
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    markup = buffer.getvalue()
    start = markup.index("<svg")
    opening = markup[start : markup.index(">", start) + 1]
    view_box = re.search(r'viewBox="([^"]+)"', opening)
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    width = float(view_box.group(1).split()[2])
    body = markup[start + len(opening) :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(?<=[ ])(id="|xlink:href="#)', rf"\g<1>{name}-", body)
    body = body.replace("url(#", f"url(#{name}-")
    return (
        f'<svg class="plot" role="img" aria-label="{html.escape(description, quote=True)}" '
        f'viewBox="{view_box.group(1)}" style="max-width:{width * 1.35:.0f}px" '
        f'stroke-linejoin="round">{body}'
    )


def _percent_axis(axes: Axes, label: str) -> None:
    axes.xaxis.set_major_formatter(lambda value, _position: f"{100 * value:g}")
    axes.set_xlabel(f"{label} (%)")


def _label(axes: Axes, text: str, at: tuple[float, float], *, shift: tuple[float, float]) -> None:
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        color=INK,
        fontsize=10,
        fontweight="bold",
        ha="left" if shift[0] >= 0 else "right",
        va="center",
    )


def tradeoff(
    trials: pd.DataFrame, dense: pd.Series | None, best: pd.Series | None, bound: float
) -> str:
    """Validation accuracy against the search-time excess gain of every trial.

    dense: the baseline's row. best: the winner, a row of `confirmed`. bound: least feasible
    validation accuracy.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(4.6)
        rows = search_trials(trials)
        complete = rows[rows["state"] == "COMPLETE"]
        _shade_feasible(axes, complete, dense, bound)
        _scatter(axes, complete)
        _front(axes, complete[complete["feasible"].eq(True)])
        _stopped_and_failed(axes, rows)
        if dense is not None:
            gain = family_excess(dense["attack_gains"])
            axes.plot(dense["val_accuracy"], gain, "D", color=INK, markersize=9, zorder=5)
            _label(axes, "dense", (dense["val_accuracy"], gain), shift=(-10, 0))
        if best is not None:
            at = (float(best["val_accuracy"]), float(best["family_excess"]))
            axes.plot(*at, "*", color=VERMILLION, markersize=17, markeredgecolor="white", zorder=6)
            _label(axes, "winner, confirmed", at, shift=(-12, 0))
        axes.margins(y=0.08)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        _percent_axis(axes, "validation accuracy")
        axes.set_ylabel(f"search-time {_GAIN_LABEL}")
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(
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
            axes.scatter(
                rows["val_accuracy"].astype(float),
                rows["excess_gain"].astype(float),
                marker=marker,
                s=42,
                facecolor=colour if feasible else "none",
                edgecolor=colour,
                label=f"{name}, {'feasible' if feasible else 'not feasible'}",
                zorder=3,
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


def progress(trials: pd.DataFrame, dense: pd.Series | None) -> str:
    """Least excess gain of a feasible trial so far, by trial number."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(3.4)
        curve = best_so_far(trials)
        rows = search_trials(trials)
        usable = rows[rows["feasible"].eq(True)]
        axes.scatter(
            usable["number"],
            usable["excess_gain"].astype(float),
            s=22,
            color=MUTED,
            alpha=0.6,
            label="feasible trials",
        )
        axes.step(
            curve["number"],
            curve["best"],
            where="post",
            color=BLUE,
            linewidth=2.2,
            label="best so far",
        )
        _dense_line(axes, dense)
        axes.set_xlabel("trial number")
        axes.set_ylabel(_GAIN_LABEL)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=3)
        reached = curve["best"].dropna()
        end = f"{reached.iloc[-1]:.4f} nats" if len(reached) else "no feasible trial"
        return _svg(figure, "progress", f"Best feasible excess gain by trial, at the end {end}.")


def _dense_line(axes: Axes, dense: pd.Series | None) -> None:
    if dense is None:
        return
    level = family_excess(dense["attack_gains"])
    axes.axhline(level, color=INK, linestyle="--", linewidth=1.2)
    axes.annotate(
        "dense",
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontweight="bold",
        fontsize=10,
    )


def layers(best: pd.Series) -> str:
    """The winner's {n_i}: share of weights kept in every layer, with counts."""
    names, kept, sizes = best["layer_names"], best["n"], best["layer_weights"]
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(1.1 + 0.34 * len(names))
        places = np.arange(len(names))
        ratios = np.array(kept, dtype=float) / np.array(sizes, dtype=float)
        axes.barh(places, np.ones(len(names)), color=RULE, height=0.66)
        axes.barh(places, ratios, color=BLUE, height=0.66)
        for place, ratio, count, size in zip(places, ratios, kept, sizes, strict=True):
            axes.annotate(
                f"{ratio:.1%}  ({count:,} of {size:,})",
                (ratio, place),
                xytext=(5, 0) if ratio < 0.6 else (-5, 0),
                textcoords="offset points",
                ha="left" if ratio < 0.6 else "right",
                va="center",
                fontsize=10,
                color=INK if ratio < 0.6 else "white",
            )
        axes.set_yticks(places, [_short(name) for name in names])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1)
        _percent_axis(axes, "weights kept")
        return _svg(
            figure,
            "layers",
            "Share of weights kept per layer: "
            + ", ".join(f"{name} {ratio:.1%}" for name, ratio in zip(names, ratios, strict=True)),
        )


def _short(name: str, length: int = 28) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]


def winners_curse(rows: pd.DataFrame, labels: Sequence[str]) -> str:
    """Search value, confirmed value and reference-attack value of every confirmed vector.

    rows: `confirmed`. labels: one name per row.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(1.5 + 0.5 * len(rows))
        places = np.arange(len(rows))
        values = rows[["search_excess", "family_excess", "reference_excess"]].astype(float)
        axes.hlines(places, values.min(axis=1), values.max(axis=1), color=RULE, linewidth=3)
        series = (
            ("search_excess", "o", "none", BLUE, "seen by the search"),
            ("family_excess", "o", BLUE, BLUE, "confirmed, same attacks"),
            ("reference_excess", "D", VERMILLION, VERMILLION, "confirmed, matched references"),
        )
        for column, marker, face, edge, name in series:
            axes.scatter(
                values[column],
                places,
                marker=marker,
                s=70,
                facecolor=face,
                edgecolor=edge,
                linewidth=1.8,
                zorder=3,
                label=name,
            )
        axes.set_yticks(places, list(labels))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=min(0.0, float(np.nanmin(values.to_numpy(), initial=0.0))) - 0.001)
        axes.set_xlabel(_GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(
            figure,
            "curse",
            "Excess gain of each confirmed vector as seen by the search, on fresh seeds, and under "
            "matched references; the table below has the numbers.",
        )


def attacks(dense_gains: Mapping[str, float], best_gains: Mapping[str, float]) -> str:
    """Excess gain of each attack on the dense network and on the winner, strongest first."""
    names = sorted(set(dense_gains) & set(best_gains), key=lambda name: -dense_gains[name])
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(1.5 + 0.36 * len(names))
        places = np.arange(len(names))
        dense = np.array([dense_gains[name] + LOG4 for name in names])
        best = np.array([best_gains[name] + LOG4 for name in names])
        axes.hlines(places, dense, best, color=RULE, linewidth=3)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.scatter(dense, places, marker="D", s=60, color=INK, label="dense", zorder=3)
        axes.scatter(best, places, marker="o", s=70, color=BLUE, label="winner", zorder=4)
        axes.set_yticks(places, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(_GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=2)
        return _svg(
            figure,
            "attacks",
            "Excess gain of each attack on the dense network and the winner: "
            + "; ".join(
                f"{name} {a:.4f} and {b:.4f}" for name, a, b in zip(names, dense, best, strict=True)
            ),
        )


_KINDS = (
    ("anchor", "s", ORANGE, "anchor"),
    ("search", "o", BLUE, "suggested"),
    ("confirm", "D", GREEN, "confirmed"),
    (COMPARATOR, "^", PURPLE, "by another pruner"),
    ("baseline", "*", INK, "dense"),
)


def theory(rows: pd.DataFrame) -> str:
    """JS divergence against half the excess gain, with the line on which eq. 10 puts them.

    rows: those of `statistics.theory`.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(4.6)
        both = rows[["js", "half_excess"]].to_numpy(dtype=float)
        ends = [min(0.0, both.min()), 1.05 * both.max() + 1e-4]
        axes.plot(ends, ends, color=MUTED, linewidth=1.2, label="equal (eq. 10)")
        _points_by_kind(axes, rows, "half_excess", "js")
        apart = rows[rows["disagrees"]]
        if not apart.empty:
            axes.errorbar(
                apart["half_excess"],
                apart["js"],
                xerr=3 * apart["half_excess_se"],
                yerr=3 * apart["js_se"],
                fmt="none",
                ecolor=VERMILLION,
                linewidth=1.2,
                zorder=2,
                label=f"more than 3 standard errors apart ({len(apart)})",
            )
        axes.set_xlabel("excess gain / 2, attacks without references (nats)")
        axes.set_ylabel("JS divergence, no attack (nats)")
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(
            figure,
            "theory",
            f"JS divergence against half the excess gain of {len(rows)} trials; {len(apart)} lie "
            "more than 3 combined standard errors from the line of equal values.",
        )


def accuracy_gap(rows: pd.DataFrame) -> str:
    """Training minus validation accuracy against the excess gain (section 5.5 of the paper).

    rows: those of `statistics.theory`.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(4.2)
        _points_by_kind(axes, rows, "accuracy_gap", "excess")
        _percent_axis(axes, "training minus validation accuracy")
        axes.set_ylabel(f"search-time {_GAIN_LABEL}")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        figure.legend(loc="outside lower center", ncols=4)
        return _svg(
            figure,
            "gap",
            "Gap between training and validation accuracy against the excess gain of "
            f"{len(rows)} trials.",
        )


def _points_by_kind(axes: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    for kind, marker, colour, name in _KINDS:
        ours = rows[rows["kind"] == kind]
        if not ours.empty:
            axes.scatter(
                ours[x],
                ours[y],
                marker=marker,
                s=110 if marker == "*" else 42,
                color=colour,
                label=name,
                zorder=3,
            )


def residuals(epochs: pd.DataFrame) -> str | None:
    """Primal and dual ADMM residuals by epoch, averaged over trials; None where there are none."""
    rows = epochs[epochs["phase"] == "admm"].dropna(subset=["primal_residual"])
    if rows.empty:
        return None
    means = rows.groupby("epoch")[["primal_residual", "dual_residual"]].mean()
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(3.2)
        lines = (
            ("primal_residual", BLUE, "o-", "primal, ‖W \N{MINUS SIGN} Z‖ / ‖W‖"),
            ("dual_residual", VERMILLION, "s--", "dual, ‖ΔZ‖ / ‖W‖"),
        )
        for column, colour, style, name in lines:
            values = means[column].where(means[column] > 0)  # a logarithmic axis has no zero
            axes.plot(means.index, values, style, color=colour, label=name, markersize=5)
        if bool((means[["primal_residual", "dual_residual"]] > 0).any(axis=None)):
            _logarithmic(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch of the ADMM phase")
        axes.set_ylabel("relative residual")
        figure.legend(loc="outside lower center", ncols=2)
        return _svg(figure, "residuals", "ADMM residuals of the winner by epoch; both should fall.")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """One defence's trials, for `fronts`."""

    searched: pd.DataFrame
    """Complete searched trials: val_accuracy, excess_gain."""

    confirmed: Sequence[tuple[float, Interval]]
    """Validation accuracy and excess gain of each confirmed candidate."""


FARTHEST = 0.15
"""`fronts` reaches at least this far below the dense network's validation accuracy."""


def fronts(name: str, defenses: Mapping[str, Front], dense: pd.Series | None) -> str:
    """Accuracy against excess gain of several defences: trials, best trade-offs, confirmed values.

    name: the picture's, unique in its page. dense: the row of a dense network.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(5.2)
        least = _least_shown(defenses.values(), dense)
        for index, (defense, front) in enumerate(defenses.items()):
            shown = front.searched[front.searched["val_accuracy"] >= least]
            colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            _one_front(axes, defense, dataclasses.replace(front, searched=shown), colour, marker)
        _say_what_is_hidden(axes, defenses.values(), least)
        if dense is not None:
            at = (float(dense["val_accuracy"]), float(dense["excess_gain"]))
            axes.plot(*at, "D", color=INK, markersize=9, zorder=5)
            _label(axes, "dense", at, shift=(-10, 0))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        _percent_axis(axes, "validation accuracy")
        axes.set_ylabel(_GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(
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
    hidden = sum(int((front.searched["val_accuracy"] < least).sum()) for front in fronts)
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
    accuracy = front.searched["val_accuracy"].to_numpy(dtype=float)
    gain = front.searched["excess_gain"].to_numpy(dtype=float)
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


def losses(panels: Mapping[str, pd.DataFrame | None]) -> str:
    """Classification loss by epoch (upper row) and attack accuracy while training (lower row).

    panels: system -> mean over its trainings, with columns epoch, loss, attack_accuracy; None for
    one that was not run (Figure 2 of the paper).
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 5.2), layout="constrained")
        grid = figure.subplots(2, len(panels), squeeze=False, sharey="row", sharex="col")
        for column, (name, curve) in enumerate(panels.items()):
            for line, quantity in enumerate(("loss", "attack_accuracy")):
                axes = grid[line][column]
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
                _epochs(axes, curve, quantity)
            letter = chr(ord("a") + column)
            grid[0][column].set_title(f"({letter}) {name}", fontsize=11)
            if curve is not None:
                grid[1][column].set_xlabel("epoch")
        grid[0][0].set_ylabel("classification loss (nats)")
        grid[1][0].set_ylabel("attack accuracy (%)")
        grid[1][0].yaxis.set_major_formatter(lambda value, _position: f"{100 * value:g}")
        return _svg(
            figure,
            "losses",
            "Classification loss and attack accuracy by epoch: "
            + "; ".join(_end_of(name, curve) for name, curve in panels.items()),
        )


def _end_of(name: str, curve: pd.DataFrame | None) -> str:
    if curve is None or curve.empty:
        return f"{name} not run"
    attack = curve["attack_accuracy"].dropna()
    accuracy = f"{attack.iloc[-1]:.1%}" if len(attack) else "not recorded"
    return f"{name} ends at loss {curve['loss'].iloc[-1]:.4f}, attack accuracy {accuracy}"


def _epochs(axes: Axes, curve: pd.DataFrame | None, quantity: str) -> None:
    if curve is None or curve[quantity].notna().sum() == 0:
        words = "not run" if curve is None else "not recorded"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=MUTED)
        if curve is None:
            axes.set_xticks([])
        return
    colour = BLUE if quantity == "loss" else VERMILLION
    known = curve.dropna(subset=[quantity])
    sparse = len(known) < len(curve)  # recorded only at the ends of stages
    marker = "o" if sparse else ""
    axes.plot(known["epoch"], known[quantity], color=colour, linewidth=1.8, marker=marker)
    if quantity == "attack_accuracy":
        axes.axhline(0.5, color=MUTED, linestyle="--", linewidth=1)


def weight_histograms(panels: Mapping[str, NDArray[np.float32] | None]) -> str:
    """Distribution of the non-zero weights of each network, counts on a logarithmic axis.

    panels: system -> its prunable weights; None for one that was not run (Figure 3 of the paper).
    """
    known = [np.abs(weights).max(initial=0.0) for weights in panels.values() if weights is not None]
    reach = float(max(known, default=0.0)) or 1.0
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 6.0), layout="constrained")
        grid = figure.subplots(2, (len(panels) + 1) // 2, squeeze=False, sharey=True, sharex=True)
        for index, (name, weights) in enumerate(panels.items()):
            axes = grid.flat[index]
            axes.set_title(f"({chr(ord('a') + index)}) {name}", fontsize=11)
            _histogram(axes, weights, reach, SERIES[index % len(SERIES)])
        grid[0][0].set_yscale("log")  # shared by all
        grid[0][0].set_ylim(bottom=0.8, top=6 * grid[0][0].get_ylim()[1])  # room for the words
        grid[0][0].yaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
        grid[0][0].yaxis.set_minor_formatter(NullFormatter())
        for axes in grid[-1]:
            axes.set_xlabel("weight")
        for axes in grid[:, 0]:
            axes.set_ylabel("count")
        return _svg(
            figure,
            "weights",
            "Histograms of non-zero weights: "
            + "; ".join(
                f"{name} {'not run' if w is None else _zeros(w)}" for name, w in panels.items()
            ),
        )


def _zeros(weights: NDArray[np.float32]) -> str:
    share = float((weights == 0).mean()) if weights.size else 0.0
    return f"{share:.1%} of {weights.size:,} weights are zero"


def _histogram(axes: Axes, weights: NDArray[np.float32] | None, reach: float, colour: str) -> None:
    if weights is None:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", color=MUTED)
        return
    counts, edges = np.histogram(weights[weights != 0], bins=80, range=(-reach, reach))
    axes.stairs(counts, edges, fill=True, color=colour, baseline=0.8)
    axes.annotate(
        _zeros(weights),
        (0.5, 1),
        xycoords="axes fraction",
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=10,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def compare_progress(curves: Mapping[str, pd.DataFrame]) -> str:
    """Best-so-far curves of several runs in one frame; curves: run -> `best_so_far`."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(4.2)
        for index, (name, curve) in enumerate(curves.items()):
            axes.step(
                curve["number"],
                curve["best"],
                where="post",
                color=SERIES[index % len(SERIES)],
                linestyle=("-", "--", ":", "-.")[index // len(SERIES) % 4],
                linewidth=2,
                label=_short(name, 48) + ("" if curve["best"].notna().any() else ": none feasible"),
            )
        axes.set_xlabel("trial number")
        axes.set_ylabel("best feasible excess gain (nats)")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=1)
        return _svg(
            figure, "progress", f"Best feasible excess gain by trial of {len(curves)} runs."
        )


ROC_VARIANTS = ("lira-offline", "lira-online-own-variance")
"""Attacks that the figure leaves to the table: a dozen curves would hide one another."""


def roc(found: Sequence[Curve]) -> str:
    """True against false positive rate on logarithmic axes; solid dense, dashed winner.

    An attack has one colour on both models; variants of an attack are left to the table.
    """
    found = [curve for curve in found if curve.attack not in ROC_VARIANTS]
    attacks_seen = list(dict.fromkeys(curve.attack for curve in found))
    least = 0.5 / max(curve.non_members for curve in found)
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(5.2)
        line = np.geomspace(least, 1, 50)
        axes.plot(line, line, color=MUTED, linewidth=1, linestyle=":", label="guessing")
        for curve in found:
            axes.step(
                np.maximum(curve.false_positive_rate, least),
                np.maximum(curve.true_positive_rate, least),
                where="post",
                color=SERIES[attacks_seen.index(curve.attack) % len(SERIES)],
                linestyle="-" if curve.model == "dense" else "--",
                linewidth=1.6,
                label=f"{curve.model}: {curve.attack}",
            )
        _logarithmic(axes, "x", percent=True)
        _logarithmic(axes, "y", percent=True)
        axes.set_xlim(least, 1)
        axes.set_ylim(least, 1)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(
            figure,
            "roc",
            "ROC curves on logarithmic axes: how many members each attack finds while it accuses "
            "few non-members; a higher curve means a larger leak.",
        )
