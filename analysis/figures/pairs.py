"""Confirmed vectors against the winner, in pairs: a forest plot."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.colours import BLUE, INK, MUTED
from analysis.figures.drawing import STYLE, percent_axis, shortened, svg
from analysis.statistics import Interval
from trainables.base import noun


def forest(differences: Mapping[str, tuple[Interval, Interval]]) -> str:
    """What each kind of models leaks and loses beyond the winner's, with 95% intervals.

    differences: name -> (excess gain less the winner's in nats, accuracy lost less the winner's).
    A full point is one whose interval leaves zero out.
    """
    names = list(differences)
    places = np.arange(len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 1.4 + 0.36 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _column(left, [differences[name][0] for name in names])
        _column(right, [differences[name][1] for name in names])
        left.set_yticks(places, [shortened(name) for name in names])
        left.invert_yaxis()
        left.set_xlabel("excess gain less the winner's (nats)")
        percent_axis(right, f"accuracy lost on unseen {noun.many()}, less the winner's")
        return svg(
            figure,
            "forest",
            "Differences to the winner in pairs: "
            + "; ".join(
                f"{name} {leak.estimate:+.4f} nats ({leak.low:+.4f} to {leak.high:+.4f}), "
                f"{100 * lost.estimate:+.1f} points of accuracy lost"
                for name, (leak, lost) in differences.items()
            ),
        )


def _column(axes: Axes, intervals: list[Interval]) -> None:
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for place, one in enumerate(intervals):
        apart = one.low > 0 or one.high < 0
        axes.errorbar(
            one.estimate,
            place,
            xerr=[[one.estimate - one.low], [one.high - one.estimate]],
            fmt="o",
            color=BLUE if apart else MUTED,
            markerfacecolor=BLUE if apart else "white",
            markersize=7,
            elinewidth=1.4,
        )
