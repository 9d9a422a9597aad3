"""Accuracy lost against leak of every defence of a comparison, a marker for each."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl

from analysis.colours import GAIN_LABEL, INK, MUTED
from analysis.figures.drawing import MARKERS, SERIES, STYLE, canvas, label_point, percent_axis, svg
from analysis.statistics import Interval
from trainables.base import noun


def defenses(
    points: Mapping[str, Sequence[tuple[Interval, Interval]]],
    levels: Sequence[float],
    dense: float | None,
) -> str:
    """Every confirmed candidate that wins at some level.

    points: defence -> (accuracy lost, excess gain) of each candidate.  levels: the allowed drops.
    dense: excess gain of the dense network, which loses nothing.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(5.2)
        for index, (name, candidates) in enumerate(points.items()):
            for at, (lost, excess) in enumerate(candidates):
                axes.errorbar(
                    lost.estimate,
                    excess.estimate,
                    xerr=_reach(lost),
                    yerr=_reach(excess),
                    fmt=MARKERS[index % len(MARKERS)],
                    color=SERIES[index % len(SERIES)],
                    markersize=9,
                    markeredgecolor="white",
                    elinewidth=1.2,
                    zorder=4,
                    label=name if at == 0 else None,
                )
        if dense is not None:
            axes.plot(0.0, dense, "*", color=INK, markersize=14, zorder=5)
            label_point(axes, "dense", (0.0, dense), shift=(12, 0))
        axes.plot([], [], ":", color=MUTED, label="allowed drop")
        axes.margins(x=0.08, y=0.08)
        shown = axes.get_xlim()  # levels that nobody comes near would squeeze the points
        for level in levels:
            axes.axvline(level, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        axes.set_xlim(shown)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        percent_axis(axes, f"accuracy lost on unseen {noun.many()}")
        axes.set_ylabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=4)
        return svg(
            figure,
            "defences",
            f"Accuracy lost against excess gain of {', '.join(points)}, with 95% intervals; lower "
            "and further left is better.",
        )


def _reach(interval: Interval) -> list[list[float]] | None:
    """The arms of an error bar; None where the interval is not known."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return None
    return [[interval.estimate - interval.low], [interval.high - interval.estimate]]
