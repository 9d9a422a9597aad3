"""Every table of the reports: frames in, ready text out (the templates escape it)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.roc import RATES, Curve
from analysis.statistics import (
    LOG4,
    Interval,
    accuracy_over_seeds,
    difference,
    excess_interval,
    family_excess,
    images_behind,
    reference_excess,
    search_trials,
)
from trainables.outcome.feasible import reaches
from trainables.records import COMPARATOR

UNKNOWN = "\N{EN DASH}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Text cells under headers; the first `text_columns` columns hold words, the rest numbers."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as a percentage.

    >>> percent(0.9314)
    '93.1%'
    """
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    return f"{100 * fraction:.{digits}f}%"


def nats(gain: float | None) -> str:
    """A gain to four decimals; zero never has a minus sign.

    >>> nats(0.01234), nats(-0.00001)
    ('0.0123', '0.0000')
    """
    return UNKNOWN if gain is None or not math.isfinite(gain) else f"{gain:z.4f}"


def times(factor: float | None) -> str:
    """A factor to two decimals.

    >>> times(4.0567)[:4]
    '4.06'
    """
    return (
        UNKNOWN
        if factor is None or not math.isfinite(factor)
        else f"{factor:.2f}\N{MULTIPLICATION SIGN}"
    )


def prunable_share(weights: float, parameters: float | None) -> str | None:
    """The share of all parameters that is prunable; None where it is unknown or all of them.

    It is rounded down, so that a part never reads 100%.

    >>> prunable_share(61_470, 61_706), prunable_share(4_000, 100_000), prunable_share(7, 7)
    ('99.6%', '4.0%', None)
    """
    if parameters is None or not math.isfinite(parameters) or not 0 < weights < parameters:
        return None
    share = 100 * weights / parameters
    return f"{math.floor(10 * share) / 10:.1f}%" if share >= 1 else f"{share:.2g}%"


def compression_of(row: Mapping[str, Any] | pd.Series) -> str:
    """The name of the figure `compression`, which says what is compressed.

    row: a row of trials.parquet or of `statistics.confirmed`.
    """
    parameters = row["parameters"]
    if parameters is None or not parameters >= row["weights"]:  # NaN too
        return "compression of the prunable weights"
    share = prunable_share(row["weights"], parameters)
    return (
        "compression" if share is None else f"compression of the prunable {share} of the parameters"
    )


def compressed(factor: float, weights: float, parameters: float) -> str:
    """A compression for a table of several networks; the second line says of which part."""
    share = prunable_share(weights, parameters) if factor != 1 else None  # at 1 nothing was removed
    return times(factor) + ("" if share is None else f"\nof the prunable {share}")


def size_in_words(best: pd.Series) -> str:
    """How much smaller the winner is than the dense network, counting all that ships.

    best: a row of `statistics.confirmed`. Tables of older releases count only the prunable weights.

    >>> row = {"compression": 12.76, "weights": 61470, "nonzero": 4817, "parameters": 61706}
    >>> size_in_words(pd.Series(row))
    'with 12.2 times fewer parameters'
    """
    kept, whole = float(best["compression"]), float(best["parameters"])
    if kept < 1:
        return f"with {_factor(1 / kept)} times as many prunable weights"
    if kept == 1:
        return "with all its weights"
    if not whole >= float(best["weights"]):  # NaN too
        return f"with {_factor(kept)} times fewer prunable weights"
    ships = max(1.0, whole - float(best["weights"]) + float(best["nonzero"]))
    return f"with {_factor(whole / ships)} times fewer parameters"


def _factor(value: float) -> str:
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def between(low: float, high: float, kind: str = "nats") -> str:
    """An interval as text, without brackets.

    >>> between(0.912, 0.945, "percent")
    '91.2% to 94.5%'
    """
    show = percent if kind == "percent" else nats
    return f"{show(low)} to {show(high)}"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> duration(3725)
    '1 h 2 min 5 s'
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return " ".join(
        f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if value
    ) or ("0 s")


def vector_names(rows: pd.DataFrame) -> list[str]:
    """A, B, C ... for the rows of `confirmed`, least leak first; a rule's row adds its name."""
    return [
        f"{chr(ord('A') + index) if index < 26 else index + 1}"
        + (f": {rule}" if rule else "")
        + ("" if feasible else " (not feasible)")
        for index, (rule, feasible) in enumerate(zip(rows["rule"], rows["feasible"], strict=True))
    ]


def confirmed_vectors(rows: pd.DataFrame) -> Table:
    """Search, confirmed and reference-attack value of each vector, and what it costs."""
    return Table(
        caption="Confirmed vectors: means over fresh seeds, 95% intervals in the second line",
        headers=[
            "vector",
            "seeds",
            "excess gain: search",
            "confirmed: largest of the same attacks",
            "confirmed: largest with references",
            "strongest attack (95%)",
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
        "means over the same fresh seeds, 95% intervals in the second line",
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
        caption="The choice of the pruner: the same fresh seeds and attacks, references pruned "
        "the same way; means, 95% intervals in the second line",
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


def with_bounds(row: pd.Series, column: str, kind: str = "nats") -> str:
    """An estimate of a row of `confirmed`; its 95% interval in the second line."""
    show = percent if kind == "percent" else nats
    return f"{show(row[column])}\n{between(row[f'{column}_low'], row[f'{column}_high'], kind)}"


def dense_and_winner(
    dense: pd.Series, best: pd.Series | None, split_sizes: Mapping[str, int]
) -> Table:
    """Every headline figure of the dense network beside the winner's."""
    lines = [
        ("test accuracy", "test_accuracy", "percent"),
        ("validation accuracy", "val_accuracy", "percent"),
        ("excess gain, strongest attack (nats)", "excess_gain", "nats"),
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
        ["largest of the search-time family (nats)", *[nats(_family(row)) for row in both]],
        ["largest with matched references (nats)", *[nats(_reference(row)) for row in both]],
        ["strongest attack", *[str(row["strongest_attack"]) for row in both]],
        ["attack AUC", *[_three(row["attack_auc"]) for row in both]],
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


def _family(row: pd.Series) -> float:
    return family_excess(row["attack_gains"])


def _reference(row: pd.Series) -> float:
    return reference_excess(row["attack_gains"])


def _three(value: float | None) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.3f}"


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
            "images",
            "AUC",
            *(f"TPR at {100 * rate:g}% FPR" for rate in RATES),
            "excess gain (nats)",
        ],
        rows=[
            [
                curve.model,
                curve.attack,
                f"{curve.members + curve.non_members:,}",
                f"{_three(curve.auc.estimate)}\n{_three(curve.auc.low)} to "
                f"{_three(curve.auc.high)}",
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


def all_trials(trials: pd.DataFrame) -> Table:
    """One line per searched, confirmed and comparing trial."""
    rows = pd.concat(
        [
            search_trials(trials),
            *(trials[trials["kind"] == kind] for kind in ("confirm", COMPARATOR)),
        ]
    )
    return Table(
        caption="All trials",
        headers=[
            "trial",
            "state",
            "feasible",
            "validation accuracy",
            "excess gain (nats)",
            "s.e.",
            "attack AUC",
            "compression" if rows.empty else compression_of(rows.iloc[0]),
            "duration",
            "keep ratios",
        ],
        rows=[
            [
                str(row["trial_id"]),
                str(row["state"]).lower(),
                "yes" if row["feasible"] is True else "no",
                percent(row["val_accuracy"]),
                nats(row["excess_gain"]),
                nats(row["attack_gain_se"]),
                _three(row["attack_auc"]),
                times(row["compression"]),
                duration(float(row["duration_s"])),
                _ratios(row["n"], row["layer_weights"]),
            ]
            for row in rows.astype(object).to_dict("records")
        ],
        text_columns=3,
    )


def _ratios(kept: Sequence[int], sizes: Sequence[int], most: int = 10) -> str:
    ratios = [f"{n / size:.2f}" for n, size in zip(kept, sizes, strict=bool(kept))]
    return " ".join(ratios[:most]) + (" …" if len(ratios) > most else "")


def failed_trials(trials: pd.DataFrame) -> Table:
    """Failed trials with what stopped them."""
    rows = trials[trials["state"] == "FAILED"]
    return Table(
        caption="Failed trials",
        headers=["trial", "node", "error"],
        rows=[
            [str(row["trial_id"]), str(row["node"]), str(row["error"] or "no message")]
            for row in rows.astype(object).to_dict("records")
        ],
        text_columns=3,
    )


def settings(values: Mapping[str, Any], caption: str) -> Table:
    """Nested settings as dotted names and values."""
    return Table(caption=caption, headers=["name", "value"], rows=_flat(values), text_columns=2)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    rows: list[list[str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append([f"{prefix}{name}", UNKNOWN if value is None else str(value)])
    return rows


def as_text(table: Table) -> str:
    """The table in aligned columns for a terminal."""
    lines = [[_bracketed(cell) for cell in line] for line in (table.headers, *table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headers))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < table.text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _bracketed(cell: str) -> str:
    first, _, rest = cell.partition("\n")
    return f"{first} ({rest})" if rest else first


def as_markdown(table: Table) -> str:
    """The table for a Markdown file, intervals in brackets; bars in cells are escaped."""
    lines = [table.headers, ["---"] * len(table.headers), *table.rows]
    return "\n".join(
        "| " + " | ".join(_bracketed(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )
