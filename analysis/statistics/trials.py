"""What the rows of trials.parquet say: the dense network, the search, its bounds, the theory."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trainables.outcome.feasible import VIOLATIONS
from trainables.outcome.feasible import accuracy_bound as lowest_accuracy
from trainables.outcome.feasible import broken_bounds as broken_in
from trainables.records import FAILED, NETWORKS, SEARCH_KINDS, WITH_REFERENCES

LOG4 = math.log(4)
"""Without a leak the gain is -LOG4 nats and the excess gain 0."""


def family_excess(gains: object) -> float:
    """The largest excess gain of the attacks without references, floored by the constant 0.5.

    It is flattered by the choice: it is the largest of several noisy values, on the images that
    chose it. Only `excess_gain` is free of that; the folds of the two kinds are not recorded apart.
    gains: attack -> G in nats, or null. Returns nats, NaN when no attack was run.
    """
    family = [gain for name, gain in gains_in(gains).items() if name not in WITH_REFERENCES]
    return max(0.0, max(family) + LOG4) if family else math.nan


def reference_excess(gains: object) -> float:
    """The largest excess gain of the attacks with matched references, which is flattered likewise.

    gains: as for `family_excess`. Returns nats, NaN when no such attack was run.
    """
    informed = [gain for name, gain in gains_in(gains).items() if name in WITH_REFERENCES]
    return max(informed) + LOG4 if informed else math.nan


def excess_as_in_search(gains: object, *, informed: bool) -> float:
    """The largest excess gain of the attacks that a search's trials face, flattered as above.

    gains: as for `family_excess`.  informed: `search_has_references`.  Returns nats, NaN when no
    attack was run.
    """
    if not informed:
        return family_excess(gains)
    same = [gain for name, gain in gains_in(gains).items() if name not in NETWORKS]
    return max(0.0, max(same) + LOG4) if same else math.nan


def search_has_references(trials: pd.DataFrame) -> bool:
    """Whether the search's trials were attacked with the dense models as references."""
    rows = trials[trials["kind"].isin(SEARCH_KINDS)]
    return any(not WITH_REFERENCES.isdisjoint(gains_in(gains)) for gains in rows["attack_gains"])


def gains_in(cell: object) -> dict[str, float]:
    """A cell of `attack_gains`: a dict, pandas' list of pairs, or null."""
    if isinstance(cell, Mapping):
        return dict(cell)
    return dict(cell) if isinstance(cell, Sequence | np.ndarray) else {}


def baseline(trials: pd.DataFrame) -> pd.Series | None:
    """The row of the dense network that trials start from, None while it has not been measured."""
    rows = trials[(trials["kind"] == "baseline") & (trials["state"] == "COMPLETE")]
    return None if rows.empty else rows.iloc[0]


def search_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Anchors and suggested trials in the order in which they were numbered."""
    return trials[trials["kind"].isin(SEARCH_KINDS)].sort_values("number")


def accuracy_bound(trials: pd.DataFrame, config: Mapping[str, Any]) -> float:
    """Least validation accuracy of a feasible trial: dense minus drop; NaN before the baseline.

    Dense is the mean over the dense models of all halves, as the run noted it in config.json; the
    runs of older releases noted that of the one that ships.
    """
    dense, accuracy = baseline(trials), config.get("dense_val_accuracy")
    if accuracy is None and dense is not None:
        accuracy = dense["val_accuracy"]
    drop = config["search"]["max_accuracy_drop"]
    return math.nan if accuracy is None else lowest_accuracy(float(accuracy), float(drop))


DISAGREEMENT = 3.0
"""Combined standard errors beyond which the divergence and the attacks contradict each other. Both
see the same images, so their errors agree and this is on the cautious side."""


def theory(trials: pd.DataFrame) -> pd.DataFrame:
    """Eq. 10 on every complete trial: an independent JS divergence against excess gain / 2.

    Only attacks without references count, since the divergence is that of the model's own outputs.
    Columns: trial_id, kind, js, js_se, half_excess, half_excess_se, errors (js - half_excess in
    combined standard errors), disagrees, accuracy_gap (training minus validation accuracy), excess.
    Trials of runs that did not measure the divergence independently are left out.
    """
    rows = trials[trials["state"].eq("COMPLETE") & trials["js_divergence_se"].notna()]
    excess = np.array([family_excess(gains) for gains in rows["attack_gains"]], dtype=float)
    js, js_se = (rows[name].to_numpy(dtype=float) for name in ("js_divergence", "js_divergence_se"))
    half_se = rows["attack_gain_se"].to_numpy(dtype=float) / 2
    combined = np.maximum(np.hypot(js_se, half_se), 1e-12)
    errors = (js - excess / 2) / combined
    train, val = (rows[f"{part}_accuracy"].to_numpy(dtype=float) for part in ("train", "val"))
    return pd.DataFrame(
        {
            "trial_id": rows["trial_id"].to_numpy(),
            "kind": rows["kind"].to_numpy(),
            "js": js,
            "js_se": js_se,
            "half_excess": excess / 2,
            "half_excess_se": half_se,
            "errors": errors,
            "disagrees": np.abs(errors) > DISAGREEMENT,
            "accuracy_gap": train - val,
            "excess": excess,
        }
    )


def rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's rank correlation; NaN below three pairs or where one side is constant."""
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return math.nan
    return float(stats.spearmanr(x, y).statistic)


def best_so_far(trials: pd.DataFrame) -> pd.DataFrame:
    """Least excess gain of the feasible trials up to each: columns number, best (NaN before)."""
    rows = search_trials(trials)
    return pd.DataFrame(
        {"number": rows["number"].astype(int), "best": _of_feasible(rows).cummin().ffill()}
    ).reset_index(drop=True)


def best_by_time(trials: pd.DataFrame) -> pd.DataFrame:
    """The same in the order in which trials ended: columns minutes since the first began, best."""
    rows = search_trials(trials)
    begun = (rows["started_at"] - rows["started_at"].min()).dt.total_seconds()
    ended = (begun + rows["duration_s"].astype(float)) / 60
    order = ended.sort_values(kind="stable").dropna()
    best = _of_feasible(rows).loc[order.index].cummin().ffill()
    return pd.DataFrame({"minutes": order, "best": best}).reset_index(drop=True)


def _of_feasible(rows: pd.DataFrame) -> pd.Series:
    """Excess gains; NaN of trials that are not feasible or not complete."""
    usable = rows["feasible"].eq(True) & rows["state"].eq("COMPLETE")
    return rows["excess_gain"].astype(float).where(usable)


def broken_bounds(rows: pd.DataFrame) -> list[list[str]]:
    """The bounds that each row of trials.parquet is known to miss."""
    columns = [rows[name].astype(float) for name in VIOLATIONS]
    return [
        broken_in(dict(zip(VIOLATIONS, values, strict=True)))
        for values in zip(*columns, strict=True)
    ]


def hardest_bound(trials: pd.DataFrame) -> str | None:
    """Say which bound the searched trials broke most often; None when none was broken.

    A trial that failed broke none: nobody knows what it would have reached.
    """
    rows = search_trials(trials)
    rows = rows[rows["state"] != FAILED]
    broken = Counter(name for names in broken_bounds(rows) for name in names)
    if not broken:
        return None
    name = max(sorted(broken), key=lambda key: broken[key])
    return f"{name} (missed by {broken[name] / len(rows):.0%} of {len(rows)} searched trials)"
