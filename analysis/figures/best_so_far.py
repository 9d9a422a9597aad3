"""How a search went: the best so far, in one run and in several."""

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import BLUE, GAIN_LABEL, INK, MUTED
from analysis.figures.drawing import SERIES, STYLE, canvas, shortened, svg
from analysis.statistics import (
    best_by_time,
    best_so_far,
    excess_as_in_search,
    search_has_references,
    search_trials,
)


def progress(trials: pd.DataFrame, dense: pd.Series | None) -> str:
    """Least excess gain of a feasible trial so far, by trained models and by time."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        by_model, by_time = figure.subplots(1, 2, sharey=True)
        curve, timed = best_so_far(trials), best_by_time(trials)
        rows = search_trials(trials)
        usable = rows[rows["feasible"].eq(True)]
        by_model.scatter(
            usable["number"],
            usable["excess_gain"].astype(float),
            s=22,
            color=MUTED,
            alpha=0.6,
            label="feasible trials",
        )
        for axes, at in ((by_model, curve["number"]), (by_time, timed["minutes"])):
            best = curve["best"] if axes is by_model else timed["best"]
            label = "best so far" if axes is by_model else None
            axes.step(at, best, where="post", color=BLUE, linewidth=2.2, label=label)
            _dense_line(axes, dense, informed=search_has_references(trials))
        by_model.set_xlabel("trial number: one trained model each")
        by_time.set_xlabel("minutes since the first trial began")
        by_model.set_ylabel(GAIN_LABEL)
        by_model.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=3)
        reached = curve["best"].dropna()
        end = f"{reached.iloc[-1]:.4f} nats" if len(reached) else "no feasible trial"
        return svg(
            figure,
            "progress",
            f"Best feasible excess gain by trial and by time, at the end {end}.",
        )


def _dense_line(axes: Axes, dense: pd.Series | None, *, informed: bool) -> None:
    if dense is None:
        return
    level = excess_as_in_search(dense["attack_gains"], informed=informed)
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


def compare_progress(curves: Mapping[str, pd.DataFrame]) -> str:
    """Best-so-far curves of several runs in one frame; curves: run -> `best_so_far`."""
    with mpl.rc_context(STYLE):
        figure, axes = canvas(4.2)
        for index, (name, curve) in enumerate(curves.items()):
            axes.step(
                curve["number"],
                curve["best"],
                where="post",
                color=SERIES[index % len(SERIES)],
                linestyle=("-", "--", ":", "-.")[index // len(SERIES) % 4],
                linewidth=2,
                label=shortened(name, 48)
                + ("" if curve["best"].notna().any() else ": none feasible"),
            )
        axes.set_xlabel("trial number")
        axes.set_ylabel("best feasible excess gain (nats)")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=1)
        return svg(figure, "progress", f"Best feasible excess gain by trial of {len(curves)} runs.")
