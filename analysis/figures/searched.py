"""What the search tried: {n_i} of many trials at once, and which layers matter."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from analysis.colours import BLUE, GAIN_LABEL, VERMILLION
from analysis.figures.drawing import STYLE, canvas, logarithmic, percent_axis, shortened, svg
from analysis.statistics import search_trials
from analysis.statistics.importance import Importances, keep_ratios
from trainables.records import COMPLETE

MOST_LINES = 200
"""More lines than this hide each other."""

SHADES = 12

MOST_LAYERS = 16
"""The most layers that are named; of importances, the most that are drawn."""


def parallel(trials: pd.DataFrame, best: pd.Series | None) -> str:
    """One line a trial over the layers, darker where it leaks less; dotted where not feasible.

    best: the winner, a row of `confirmed`.
    """
    rows = search_trials(trials)
    rows = rows[rows["state"] == COMPLETE].dropna(subset=["excess_gain"])
    rows = rows.sort_values("excess_gain", kind="stable")
    shown = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, MOST_LINES).round().astype(int))]
    names = list(shown.iloc[0]["layer_names"])
    places = np.arange(len(names))
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.4)
        leak = shown["excess_gain"].to_numpy(dtype=float)
        # few shades: of many, matplotlib would draw the bar beside the lines as pixels
        shades = mpl.colormaps["cividis"].resampled(SHADES)
        scale = ScalarMappable(Normalize(leak.min(), max(leak.max(), leak.min() + 1e-6)), shades)
        lines = [np.column_stack([places, kept]) for kept in keep_ratios(shown)]
        feasible = shown["feasible"].eq(True).to_numpy()
        for which, style, name in ((feasible, "-", "feasible"), (~feasible, ":", "not feasible")):
            chosen = np.flatnonzero(which)[::-1]  # the least leak on top
            if len(chosen):
                axes.add_collection(
                    LineCollection(
                        [lines[at] for at in chosen],
                        colors=scale.to_rgba(leak[chosen]),
                        linestyles=style,
                        linewidths=1.2,
                        alpha=0.75,
                        label=f"{name} ({len(chosen)})",
                    )
                )
        if best is not None:
            kept = np.array(best["n"]) / np.array(best["layer_weights"])
            axes.plot(places, kept, "*-", color=VERMILLION, markersize=12, label="winner")
        axes.autoscale()
        logarithmic(axes, "y", percent=True)
        _name_layers(axes, names)
        axes.set_ylabel("weights kept")
        figure.colorbar(scale, ax=axes, label=GAIN_LABEL, pad=0.01)
        figure.legend(loc="outside lower center", ncols=3)
        return svg(
            figure,
            "parallel",
            f"Share of weights kept in each of {len(names)} layers by {len(shown)} of {len(rows)} "
            "complete trials, one line each, coloured by excess gain.",
        )


def _name_layers(axes: Axes, names: list[str]) -> None:
    """Write every name, or of many layers evenly spaced ones."""
    step = -(-len(names) // MOST_LAYERS)
    axes.set_xticks(
        range(0, len(names), step),
        [shortened(name, 18) for name in names[::step]],
        rotation=30 if len(names) > 4 else 0,
        ha="right" if len(names) > 4 else "center",
    )


def importances(found: Importances) -> str:
    """Two bars a layer: its importance for the leak, and hatched that for the accuracy."""
    names = found.layers[:MOST_LAYERS]
    leak, accuracy = found.leak[:MOST_LAYERS], found.accuracy[:MOST_LAYERS]
    places = np.arange(len(names))
    with mpl.rc_context(STYLE):
        figure, axes = canvas(1.3 + 0.42 * len(names))
        axes.barh(places - 0.19, leak, color=BLUE, height=0.36, label="for the leak")
        axes.barh(
            places + 0.19,
            accuracy,
            color="white",
            edgecolor=VERMILLION,
            hatch="///",
            height=0.36,
            label="for the accuracy",
        )
        axes.set_yticks(places, [shortened(name) for name in names])
        axes.invert_yaxis()
        percent_axis(axes, "importance of the layer's keep ratio")
        figure.legend(loc="outside lower center", ncols=2)
        return svg(
            figure,
            "importances",
            "Importance of each layer's keep ratio for leak and for accuracy: "
            + ", ".join(
                f"{name} {one:.0%} and {other:.0%}"
                for name, one, other in zip(names, leak, accuracy, strict=True)
            ),
        )
