"""What was removed from a network: keep ratios by layer, and weights before and after."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from analysis.colours import BLUE, INK, MUTED, RULE
from analysis.figures.drawing import SERIES, STYLE, canvas, percent_axis, shortened, svg


def layers(best: pd.Series) -> str:
    """The winner's {n_i}: share of weights kept in every layer, with counts."""
    names, kept, sizes = best["layer_names"], best["n"], best["layer_weights"]
    with mpl.rc_context(STYLE):
        figure, axes = canvas(1.1 + 0.34 * len(names))
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
        axes.set_yticks(places, [shortened(name) for name in names])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1)
        percent_axis(axes, "weights kept")
        return svg(
            figure,
            "layers",
            "Share of weights kept per layer: "
            + ", ".join(f"{name} {ratio:.1%}" for name, ratio in zip(names, ratios, strict=True)),
        )


def weight_histograms(panels: Mapping[str, NDArray[np.float32] | None]) -> str:
    """Distribution of the non-zero weights of each network, counts on a logarithmic axis.

    panels: system -> its prunable weights; None for one that was not run (Figure 3 of the paper).
    """
    known = [np.abs(weights).max(initial=0.0) for weights in panels.values() if weights is not None]
    reach = float(max(known, default=0.0)) or 1.0
    with mpl.rc_context(STYLE):
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
        return svg(
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
