"""Tables of confirmed vectors: the dense network and the winner, comparators, pruners."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.statistics import (
    Interval,
    accuracy_over_seeds,
    difference,
    excess_interval,
    family_excess,
    images_behind,
    reference_excess,
)
from analysis.tables.table import Table
from analysis.tables.words import (
    UNKNOWN,
    between,
    compression_of,
    nats,
    percent,
    three_digits,
    times,
    with_bounds,
)
from trainables.outcome.feasible import UNDECIDED, reaches

_MAY = " (undecided)"
"""Behind the name of a vector that keeps its bounds on average, but not surely."""


def vector_names(rows: pd.DataFrame) -> list[str]:
    """A, B, C ... for the rows of `confirmed`, least leak first; a rule's row adds its name."""
    return [
        f"{chr(ord('A') + index) if index < 26 else index + 1}"
        + (f": {rule}" if rule else "")
        + (_MAY if feasible and kept == UNDECIDED else "" if feasible else " (not feasible)")
        for index, (rule, feasible, kept) in enumerate(
            zip(rows["rule"], rows["feasible"], rows["kept"], strict=True)
        )
    ]


def confirmed_vectors(rows: pd.DataFrame) -> Table:
    """Search, confirmed and reference-attack value of each vector, and what it costs."""
    return Table(
        caption="Confirmed vectors: means over their trainings, 95% intervals in the second line",
        headers=[
            "vector",
            "trainings",
            "excess gain: search",
            "confirmed: largest without references",
            "confirmed: largest with references",
            "excess gain (95%)",
            "validation accuracy",
            "test accuracy",
            compression_of(rows.iloc[0]),
        ],
        rows=[
            [
                name,
                f"{row['seeds']}" + (f" (+{row['failed_seeds']} failed)" * bool(failed)),
                nats(row["search_excess"]),
                nats(row["family_excess"]),
                nats(row["reference_excess"]),
                with_bounds(row, "excess_gain"),
                with_bounds(row, "val_accuracy", "percent"),
                with_bounds(row, "test_accuracy", "percent"),
                times(row["compression"]),
            ]
            for name, failed, (_, row) in zip(
                vector_names(rows), rows["failed_seeds"], rows.iterrows(), strict=True
            )
        ],
    )


def comparators(rows: pd.DataFrame, best: pd.Series) -> Table:
    """The published allocations beside the winner, with as many weights; least leak first."""
    ours = excess_interval(best)
    return Table(
        caption="The choice of {n_i}: published allocations with as many weights as the winner; "
        "means over their trainings, 95% intervals in the second line",
        headers=[
            "allocation",
            "excess gain, strongest attack",
            "minus the winner's",
            "validation accuracy",
            "test accuracy",
            "accuracy bound",
        ],
        rows=[
            [
                row["rule"] or "the search's own",
                with_bounds(row, "excess_gain"),
                UNKNOWN if row["n"] == best["n"] else _less(excess_interval(row), ours),
                with_bounds(row, "val_accuracy", "percent"),
                with_bounds(row, "test_accuracy", "percent"),
                "kept" if row["feasible"] else "missed",
            ]
            for _, row in rows.iterrows()
            if row["rule"] or row["n"] == best["n"]
        ],
    )


def pruners(rows: pd.DataFrame, best: pd.Series, own: str, bound: float) -> Table:
    """The winner beside the same counts by other pruners, and its recipe with nothing removed.

    rows: those of `statistics.by_other_pruners`. own: the run's pruner. bound: the least validation
    accuracy of a feasible network; one with more weights than asked for may still keep it.
    """
    ours = excess_interval(best)
    lines = [(f"{own}, the winner", best, UNKNOWN)]
    lines += [
        (
            f"{row['pruner']}, {'nothing removed' if row['whole'] else 'the same counts'}",
            row,
            _less(excess_interval(row), ours),
        )
        for _, row in rows.iterrows()
    ]
    return Table(
        caption="The choice of the pruner: the same seeds, halves and attacks; means over their "
        "trainings, 95% intervals in the second line",
        headers=[
            "made by",
            "excess gain, strongest attack",
            "minus the winner's",
            "validation accuracy",
            "test accuracy",
            "accuracy bound",
        ],
        rows=[
            [
                name,
                with_bounds(row, "excess_gain"),
                less,
                with_bounds(row, "val_accuracy", "percent"),
                with_bounds(row, "test_accuracy", "percent"),
                "kept" if reaches(bound, float(row["val_accuracy"])) else "missed",
            ]
            for name, row, less in lines
        ],
    )


def _less(theirs: Interval, ours: Interval) -> str:
    gap = difference(theirs, ours)
    return f"{nats(gap.estimate)}\n{between(gap.low, gap.high)}"


def dense_and_winner(
    dense: pd.Series, best: pd.Series | None, split_sizes: Mapping[str, int]
) -> Table:
    """Every headline figure of the dense network beside the winner's."""
    lines = [
        ("test accuracy", "test_accuracy", "percent"),
        ("validation accuracy", "val_accuracy", "percent"),
        (_excess_label(dense), "excess_gain", "nats"),
        ("attack accuracy, balanced", "attack_accuracy", "percent"),
    ]
    rows = []
    for label, column, kind in lines:
        cells = [_cell(dense, column, kind, split_sizes)]
        if best is not None:
            cells.append(_cell(best, column, kind, split_sizes))
        rows.append([label, *cells])
    both = [dense] if best is None else [dense, best]
    rows += [
        ["largest without references (nats)", *[nats(_family(row)) for row in both]],
        ["largest with matched references (nats)", *[nats(_reference(row)) for row in both]],
        ["strongest attack", *[str(row["strongest_attack"]) for row in both]],
        ["attack AUC", *[three_digits(row["attack_auc"]) for row in both]],
        ["TPR at 1% FPR", *[percent(row["tpr_at_1pct_fpr"], 2) for row in both]],
        ["TPR at 0.1% FPR", *[percent(row["tpr_at_01pct_fpr"], 2) for row in both]],
        ["training accuracy", *[percent(row["train_accuracy"]) for row in both]],
        [compression_of(dense), *[times(row["compression"]) for row in both]],
        ["arithmetic left (share of dense)", *[percent(row["flops_ratio"]) for row in both]],
    ]
    return Table(
        caption="Dense network and winner; 95% intervals in the second line",
        headers=["figure", "dense", "winner"][: 1 + len(both)],
        rows=rows,
    )


def _excess_label(dense: pd.Series) -> str:
    """What the excess gain is: the cross-audit's over all models, or that of one attacked model."""
    if "excess_gain_low" not in dense.index:
        return "excess gain, strongest attack (nats)"
    return f"excess gain over {dense['seeds']} models (nats)"


def _family(row: pd.Series) -> float:
    return family_excess(row["attack_gains"])


def _reference(row: pd.Series) -> float:
    return reference_excess(row["attack_gains"])


def _cell(row: pd.Series, column: str, kind: str, split_sizes: Mapping[str, int]) -> str:
    show = percent if kind == "percent" else nats
    value = row[column]
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if f"{column}_low" in row.index:
        return with_bounds(row, column, kind)
    if column == "excess_gain":
        interval = excess_interval(row)
    else:
        interval = accuracy_over_seeds([float(value)], images_behind(column, split_sizes))
    return f"{show(value)}\n{between(interval.low, interval.high, kind)}"


def layer_counts(best: pd.Series) -> Table:
    """The winner's {n_i} in numbers."""
    triples = zip(best["layer_names"], best["n"], best["layer_weights"], strict=True)
    return Table(
        caption="Non-zero weights of the winner, per layer",
        headers=["layer", "non-zero (n_i)", "weights", "kept"],
        rows=[
            [name, f"{kept:,}", f"{size:,}", percent(kept / size)] for name, kept, size in triples
        ],
    )


def unpruned(config: Mapping[str, Any]) -> Table | None:
    """Layers that keep all their weights, and why; None where config.json names none."""
    reasons: Mapping[str, str] = config.get("unpruned") or {}
    if not reasons:
        return None
    return Table(
        caption="Not pruned: these keep all their weights",
        headers=["layer", "why"],
        rows=[[name, reason] for name, reason in reasons.items()],
        text_columns=2,
    )
