"""The pictures of docs/bench-search.md."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from analysis.colours import GAIN_LABEL, INK, MUTED
from analysis.figures.drawing import MARKERS, SERIES, STYLE, canvas
from tests.benchmarks.best_known import Front
from tests.benchmarks.methods import GRID, PUBLISHED_BEST, RACE
from tests.benchmarks.scores import median

DRAWN = (RACE, "race, clusters", "flat TPE", GRID, "OptunaSearch", PUBLISHED_BEST)
"""Methods with a line of their own; all are in the tables."""

PIXELS_PER_INCH = 130


def by_budget(frame: pd.DataFrame, best: float, path: Path) -> None:
    """Median matched leak against trained models, with bootstrap intervals.

    frame: of one blackbox.  best: the least leak known at the bound.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.6)
        for at, method in enumerate(name for name in DRAWN if name in set(frame["method"])):
            rows = frame[frame["method"] == method].groupby("budget")["matched"]
            found = {budget: median(values.to_numpy()) for budget, values in rows}
            middle = [one.value for one in found.values()]
            low, high = ([getattr(one, end) for one in found.values()] for end in ("low", "high"))
            colour = SERIES[at % len(SERIES)]
            axes.plot(list(found), middle, color=colour, marker=MARKERS[at], label=method)
            axes.fill_between(list(found), low, high, color=colour, alpha=0.12, linewidth=0)
        axes.axhline(best, color=MUTED, linestyle="--", linewidth=1, label="best known")
        axes.set_xscale("log")
        budgets = sorted(frame["budget"].unique())
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("trained models, the confirmation's included")
        axes.set_ylabel(GAIN_LABEL)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=PIXELS_PER_INCH)


def winners(frame: pd.DataFrame, budget: int, front: Front, bound: float, path: Path) -> None:
    """Every winner's true loss and leak at one budget, against the best known vectors."""
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.6)
        rows = frame[(frame["budget"] == budget) & frame["found"]]
        for at, method in enumerate(name for name in DRAWN if name in set(rows["method"])):
            own = rows[rows["method"] == method]
            axes.plot(
                100 * own["lost"],
                own["leak"],
                MARKERS[at],
                color=SERIES[at % len(SERIES)],
                alpha=0.75,
                label=method,
            )
        axes.plot(100 * front.lost, front.leak, color=MUTED, linewidth=1, label="best known")
        axes.axvline(100 * bound, color=INK, linestyle=":", linewidth=1, label="allowed loss")
        span = np.array([*(100 * rows["lost"]), 100 * bound])
        axes.set_xlim(span.min() - 0.3, span.max() + 0.3)
        axes.set_ylim(0, 1.15 * max(rows["leak"].max(), front.at(bound)))
        axes.set_xlabel("accuracy truly lost on images that were not trained on (points)")
        axes.set_ylabel(GAIN_LABEL)
        figure.legend(loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=PIXELS_PER_INCH)
