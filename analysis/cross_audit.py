"""The cross-audit of a run: which kinds of models were audited, under the names of its report."""

from collections.abc import Mapping

import pandas as pd

from analysis import tables
from analysis.crossed_models import CrossedModels
from analysis.load import RunRecord
from trainables.records import COMPARATOR

DENSE = "dense"


def table(run: RunRecord, rows: pd.DataFrame, best: pd.Series | None) -> tables.Table | None:
    """The cross-audited models of a run beside each other; None without the dense ones.

    rows: those of `statistics.confirmed`.  best: the winner's.
    """
    found = audited(run, rows)
    if DENSE not in found or len(found) == 1:
        return None
    winner = None if best is None else _names(run, rows)[best["trial_ids"][0]]
    return tables.cross_audit(
        found,
        DENSE,
        winner if winner in found else None,
        float(run.config["search"]["max_accuracy_drop"]),
    )


def audited(run: RunRecord, rows: pd.DataFrame) -> Mapping[str, tuple[CrossedModels, float]]:
    """Name -> models and compression, for the kinds that have models of the dense ones' halves."""
    names = _names(run, rows)
    kinds = run.trials[run.trials["trial_id"].isin(run.crossed)].set_index("trial_id")
    found = {}
    for vector, row in kinds.iterrows():
        name = DENSE if row["kind"] == "baseline" else names.get(str(vector))
        if name is not None:
            size = sum(row["layer_weights"]) / max(sum(row["n"]), 1)
            found[name] = (run.crossed[str(vector)], size)
    if DENSE not in found:
        return {}
    dense, _ = found[DENSE]
    return {name: kind for name, kind in found.items() if kind[0].fits(dense)}


def _names(run: RunRecord, rows: pd.DataFrame) -> dict[str, str]:
    """Trial id -> the name of its vector, of those that have a finished trial."""
    names = {
        trial_id: name
        for name, trial_ids in zip(tables.vector_names(rows), rows["trial_ids"], strict=True)
        for trial_id in trial_ids
    }
    others = run.trials[run.trials["kind"] == COMPARATOR]
    return names | {
        row["trial_id"]: f"by {row['pruner']}"
        + (", nothing removed" if row["n"] == row["layer_weights"] else "")
        for _, row in others.iterrows()
    }
