"""What the attacks found: gains by attack, the winner's curse, the theory, ROC curves."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.colours import BLUE, GAIN_LABEL, GREEN, INK, MUTED, ORANGE, PURPLE, RULE, VERMILLION
from analysis.figures.drawing import (
    SERIES,
    STYLE,
    canvas,
    logarithmic,
    percent_axis,
    shortened,
    svg,
)
from analysis.roc import Curve
from analysis.statistics import LOG4, Interval
from trainables.records import COMPARATOR


def winners_curse(rows: pd.DataFrame, labels: Sequence[str]) -> str:
    """What the search saw of each confirmed vector, and its confirmation by both kinds of attacks.

    rows: `confirmed`. labels: one name per row.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(1.5 + 0.5 * len(rows))
        places = np.arange(len(rows))
        values = rows[["search_excess", "family_excess", "reference_excess"]].astype(float)
        axes.hlines(places, values.min(axis=1), values.max(axis=1), color=RULE, linewidth=3)
        series = (
            ("search_excess", "o", "none", BLUE, "seen by the search"),
            ("family_excess", "o", BLUE, BLUE, "confirmed, without references"),
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
        axes.set_xlabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            "curse",
            "Excess gain of each confirmed vector as seen by the search, on fresh seeds, and under "
            "matched references; the table below has the numbers.",
        )


def attacks(dense_gains: Mapping[str, float], best_gains: Mapping[str, float]) -> str:
    """Excess gain of each attack on the dense network and on the winner, strongest first."""
    names = sorted(set(dense_gains) & set(best_gains), key=lambda name: -dense_gains[name])
    with mpl.rc_context(STYLE):
        figure, axes = canvas(1.5 + 0.36 * len(names))
        places = np.arange(len(names))
        dense = np.array([dense_gains[name] + LOG4 for name in names])
        best = np.array([best_gains[name] + LOG4 for name in names])
        axes.hlines(places, dense, best, color=RULE, linewidth=3)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.scatter(dense, places, marker="D", s=60, color=INK, label="dense", zorder=3)
        axes.scatter(best, places, marker="o", s=70, color=BLUE, label="winner", zorder=4)
        axes.set_yticks(places, [shortened(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=2)
        return svg(
            figure,
            "attacks",
            "Excess gain of each attack on the dense network and the winner: "
            + "; ".join(
                f"{name} {a:.4f} and {b:.4f}" for name, a, b in zip(names, dense, best, strict=True)
            ),
        )


def attack_intervals(gains: Mapping[str, Interval]) -> str:
    """Excess gain of each attack on one network with its 95% interval, the strongest first."""
    names = sorted(gains, key=lambda name: -gains[name].estimate)
    with mpl.rc_context(STYLE):
        figure, axes = canvas(1.2 + 0.36 * len(names))
        axes.axvline(0, color=MUTED, linewidth=1)
        for place, name in enumerate(names):
            own = gains[name]
            axes.hlines(place, own.low, own.high, color=BLUE, linewidth=3, alpha=0.45)
            axes.scatter(own.estimate, place, marker="o", s=60, color=BLUE, zorder=3)
        axes.set_yticks(range(len(names)), [shortened(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(GAIN_LABEL)
        return svg(
            figure,
            "attacks",
            "Excess gain of each attack, with its 95% interval: "
            + "; ".join(
                f"{name} {gains[name].estimate:.4f} ({gains[name].low:.4f} to "
                f"{gains[name].high:.4f})"
                for name in names
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
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.6)
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
        return svg(
            figure,
            "theory",
            f"JS divergence against half the excess gain of {len(rows)} trials; {len(apart)} lie "
            "more than 3 combined standard errors from the line of equal values.",
        )


def accuracy_gap(rows: pd.DataFrame) -> str:
    """Training minus validation accuracy against the excess gain (section 5.5 of the paper).

    rows: those of `statistics.theory`.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.2)
        _points_by_kind(axes, rows, "accuracy_gap", "excess")
        percent_axis(axes, "training minus validation accuracy")
        axes.set_ylabel(f"{GAIN_LABEL}, without references")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        figure.legend(loc="outside lower center", ncols=4)
        return svg(
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


ROC_VARIANTS = ("lira-offline", "lira-online-own-variance")
"""Attacks that the figure leaves to the table: a dozen curves would hide one another."""


def roc(found: Sequence[Curve]) -> str:
    """True against false positive rate on logarithmic axes; dashed the winner, solid others.

    An attack has one colour on both models; variants of an attack are left to the table.
    """
    found = [curve for curve in found if curve.attack not in ROC_VARIANTS]
    attacks_seen = list(dict.fromkeys(curve.attack for curve in found))
    least = 0.5 / max(curve.non_members for curve in found)
    with mpl.rc_context(STYLE):
        figure, axes = canvas(5.2)
        line = np.geomspace(least, 1, 50)
        axes.plot(line, line, color=MUTED, linewidth=1, linestyle=":", label="guessing")
        for curve in found:
            axes.step(
                np.maximum(curve.false_positive_rate, least),
                np.maximum(curve.true_positive_rate, least),
                where="post",
                color=SERIES[attacks_seen.index(curve.attack) % len(SERIES)],
                linestyle="--" if curve.model == "winner" else "-",
                linewidth=1.6,
                label=f"{curve.model}: {curve.attack}",
            )
        logarithmic(axes, "x", percent=True)
        logarithmic(axes, "y", percent=True)
        axes.set_xlim(least, 1)
        axes.set_ylim(least, 1)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            "roc",
            "ROC curves on logarithmic axes: how many members each attack finds while it accuses "
            "few non-members; a higher curve means a larger leak.",
        )
