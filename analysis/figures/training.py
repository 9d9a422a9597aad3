"""Curves over epochs: ADMM residuals and losses."""

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.colours import BLUE, MUTED, VERMILLION
from analysis.figures.drawing import STYLE, canvas, logarithmic, svg


def residuals(epochs: pd.DataFrame) -> str | None:
    """Primal and dual ADMM residuals by epoch, averaged over trials; None where there are none."""
    rows = epochs[epochs["phase"] == "admm"].dropna(subset=["primal_residual"])
    if rows.empty:
        return None
    means = rows.groupby("epoch")[["primal_residual", "dual_residual"]].mean()
    with mpl.rc_context(STYLE):
        figure, axes = canvas(3.2)
        lines = (
            ("primal_residual", BLUE, "o-", "primal, ‖W \N{MINUS SIGN} Z‖ / ‖W‖"),
            ("dual_residual", VERMILLION, "s--", "dual, ‖ΔZ‖ / ‖W‖"),
        )
        for column, colour, style, name in lines:
            values = means[column].where(means[column] > 0)  # a logarithmic axis has no zero
            axes.plot(means.index, values, style, color=colour, label=name, markersize=5)
        if bool((means[["primal_residual", "dual_residual"]] > 0).any(axis=None)):
            logarithmic(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch of the ADMM phase")
        axes.set_ylabel("relative residual")
        figure.legend(loc="outside lower center", ncols=2)
        return svg(figure, "residuals", "ADMM residuals of the winner by epoch; both should fall.")


def losses(panels: Mapping[str, pd.DataFrame | None]) -> str:
    """Classification loss by epoch (upper row) and attack accuracy while training (lower row).

    panels: system -> mean over its trainings, with columns epoch, loss, attack_accuracy; None for
    one that was not run (Figure 2 of the paper).
    """
    with mpl.rc_context(STYLE):
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
        return svg(
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
