"""Tables of one network that was measured without a search."""

import math
from collections.abc import Mapping
from typing import Any

from analysis.statistics import Interval
from analysis.tables.table import Table
from analysis.tables.words import between, nats, percent, three_digits
from trainables.attacks.gain import reach


def both_sides(inside: Mapping[str, Any], outside: Mapping[str, Any]) -> Table:
    """Accuracy and cross-entropy on members, on non-members, and the gap, with 95% intervals."""
    rows = []
    for name, column, kind in (
        ("accuracy", "accuracy", "percent"),
        ("cross-entropy (nats)", "loss", "nats"),
    ):
        values = inside[column], outside[column]
        errors = inside[f"{column}_se"], outside[f"{column}_se"]
        pairs = [*zip(values, errors, strict=True), (values[0] - values[1], math.hypot(*errors))]
        rows.append([name, *(_with_interval(value, error, kind) for value, error in pairs)])
    return Table(
        caption="How the network answers", headers=["", "members", "non-members", "gap"], rows=rows
    )


def attacker(leakage: Mapping[str, Any]) -> Table:
    """What the strongest attack reaches."""
    return Table(
        caption="The strongest attack, chosen for each part on the other parts",
        headers=["figure", ""],
        rows=[
            [
                "excess gain (nats)",
                _with_interval(leakage["excess_gain"], leakage["attack_gain_se"], "nats"),
            ],
            ["attack accuracy, balanced", percent(leakage["attack_accuracy"])],
            ["AUC", three_digits(leakage["attack_auc"])],
            ["members found at 1% false alarms", percent(leakage["tpr_at_1pct_fpr"])],
            ["members found at 0.1% false alarms", percent(leakage["tpr_at_01pct_fpr"])],
            [
                "twice the JS divergence of the outputs (nats)",
                _with_interval(
                    2 * leakage["js_divergence"], 2 * leakage["js_divergence_se"], "nats"
                ),
            ],
            ["chosen for most parts", leakage["strongest_attack"]],
        ],
    )


def attack_intervals(gains: Mapping[str, Interval]) -> Table:
    """The excess gain of each attack with its interval, the strongest first."""
    order = sorted(gains, key=lambda name: -gains[name].estimate)
    return Table(
        caption="Every attack (nats)",
        headers=["attack", "excess gain", "95% interval"],
        rows=[
            [name, nats(own.estimate), between(own.low, own.high)]
            for name, own in ((name, gains[name]) for name in order)
        ],
    )


def _with_interval(value: float, error: float, kind: str) -> str:
    show = percent if kind == "percent" else nats
    return f"{show(value)}\n{between(value - reach(error), value + reach(error), kind)}"
