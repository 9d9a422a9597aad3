"""Tables of what the attacks found."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.roc import RATES, Curve
from analysis.statistics import LOG4, Interval
from analysis.tables.table import Table
from analysis.tables.words import between, nats, percent, three_digits
from trainables.base import noun


def attack_gains(dense: Mapping[str, float], best: Mapping[str, float]) -> Table:
    """Gain G and excess gain of each attack on both networks, strongest on the dense one first."""
    names = sorted(set(dense) | set(best), key=lambda name: -dense.get(name, -LOG4))
    cells = [
        [gains.get(name, math.nan) + shift for gains in (dense, best) for shift in (0.0, LOG4)]
        for name in names
    ]
    return Table(
        caption="Every attack (nats)",
        headers=["attack", "dense: G", "dense: excess", "winner: G", "winner: excess"],
        rows=[[name, *map(nats, values)] for name, values in zip(names, cells, strict=True)],
    )


def audits(found: Sequence[Curve], caption: str) -> Table:
    """One line per model and attack: area, true-positive rates and gain, with 95% intervals."""
    return Table(
        caption=caption,
        headers=[
            "model",
            "attack",
            noun.many(),
            "AUC",
            *(f"TPR at {100 * rate:g}% FPR" for rate in RATES),
            "excess gain (nats)",
        ],
        rows=[
            [
                curve.model,
                curve.attack,
                f"{curve.members + curve.non_members:,}",
                "{}\n{} to {}".format(
                    *map(three_digits, (curve.auc.estimate, curve.auc.low, curve.auc.high))
                ),
                *(_estimate(curve.tpr[rate], "percent") for rate in RATES),
                _estimate(curve.excess_gain, "nats"),
            ]
            for curve in found
        ],
        text_columns=2,
    )


def _estimate(interval: Interval, kind: str) -> str:
    show = percent if kind == "percent" else nats
    return f"{show(interval.estimate)}\n{between(interval.low, interval.high, kind)}"


def theory(rows: pd.DataFrame) -> Table:
    """Both sides of eq. 10 for every complete trial, the largest disagreement first.

    rows: those of `statistics.theory`.
    """
    order = rows["errors"].abs().sort_values(ascending=False, kind="stable").index
    return Table(
        caption="JS divergence against half the excess gain (nats)",
        headers=[
            "trial",
            "verdict",
            "JS divergence",
            "s.e.",
            "excess gain / 2",
            "s.e.",
            "difference in s.e.",
            "training minus validation accuracy",
        ],
        rows=[
            [
                row["trial_id"],
                _eq10(row),
                nats(row["js"]),
                nats(row["js_se"]),
                nats(row["half_excess"]),
                nats(row["half_excess_se"]),
                f"{row['errors']:+.1f}",
                percent(row["accuracy_gap"]),
            ]
            for row in rows.loc[order].to_dict("records")
        ],
        text_columns=2,
    )


def _eq10(row: Mapping[Any, Any]) -> str:
    if not row["disagrees"]:
        return "agree"
    return "the attacks miss something" if row["errors"] > 0 else "the attacks know more"
