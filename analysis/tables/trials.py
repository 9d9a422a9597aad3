"""Tables of all trials, of the failed ones, and of the settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.statistics import search_trials
from analysis.tables.table import Table
from analysis.tables.words import (
    UNKNOWN,
    compression_of,
    duration,
    nats,
    percent,
    three_digits,
    times,
)
from trainables.records import COMPARATOR


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
                three_digits(row["attack_auc"]),
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
