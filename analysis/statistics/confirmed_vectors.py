"""Confirmed vectors over their models: feasible, winner, nearest to the bounds.

Every function takes what the cross-audit found about each vector's models (`RunRecord.crossed`).
Runs of older releases have none; there the figures are means over the rows of a vector, each from a
fresh seed, attacked with references of its own.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.crossed_models import CrossedModels
from analysis.statistics.intervals import Interval, accuracy_over_seeds, mean_over_seeds
from analysis.statistics.trials import (
    accuracy_bound,
    baseline,
    family_excess,
    gains_in,
    reference_excess,
    search_trials,
)
from trainables.base.errors import InvalidInput
from trainables.outcome.feasible import NO, UNDECIDED, YES, Bounds, judged, reaches
from trainables.outcome.objective import goal_of
from trainables.outcome.winner import nearest_first, winner
from trainables.records import COMPARATOR

Crossed = Mapping[str, CrossedModels]
"""Vector, named by its first trial, -> what the cross-audit found about its models."""

NOT_CROSSED: Crossed = {}
"""What a run of an older release found."""


def dense(trials: pd.DataFrame, crossed: Crossed = NOT_CROSSED) -> pd.Series | None:
    """The dense network as a row like those of `confirmed`; None while it has not been measured.

    Without a cross-audit it is the row in trials.parquet, of one training and without intervals.
    """
    row = baseline(trials)
    models = None if row is None else crossed.get(row["trial_id"])
    if row is None or models is None:
        return row
    figures = {str(name): value for name, value in row.items()} | _over_models(models)
    return pd.Series(figures)


def confirmed(
    trials: pd.DataFrame, config: Mapping[str, Any], crossed: Crossed = NOT_CROSSED
) -> pd.DataFrame:
    """One row per confirmed candidate, least excess gain first; figures are means over its models.

    config: config.json (bounds of the search and sizes of the splits). `x`, `x_low`, `x_high` are
    an estimate and its 95% interval; `excess_gain` is the strongest attack's, `family_excess` and
    `reference_excess` are the two kinds apart, `search_excess` what the search had seen. `rule`
    names the published allocations that give this very vector, "" for the search's own. `kept`
    says whether it keeps its bounds: yes, no, or undecided where the interval of the accuracy lost,
    in pairs with the dense models of the same halves, holds the bound. Feasible: it keeps them, or
    may and its mean does; and no seed failed (one that diverged must not be averaged away). Without
    a cross-audit the mean decides, and some seed alone must keep the bounds too.
    """
    rows = trials[trials["kind"] == "confirm"]
    bounds = _bounds(trials, config)
    rules, before = _rules(config), _dense_models(trials, crossed)
    searched = _search_values(trials)
    records = []
    for candidate in dict.fromkeys(_candidates(rows)):
        same = _rows_of(rows, candidate)
        complete = same[same["state"] == "COMPLETE"]
        if complete.empty:
            continue
        failed = len(same) - len(complete)
        record = {
            "n": candidate[0],
            "defense_parameters": dict(candidate[1]),
            "rule": ", ".join(rules.get(candidate[0], [])),
            "failed_seeds": failed,
            **_means(complete, config["split_sizes"]),
        }
        record["search_excess"] = searched.get(candidate, math.nan)
        models = crossed.get(complete.iloc[0]["trial_id"])
        if models is None or before is None or not models.fits(before):
            record["feasible"] = bool(complete["feasible"].eq(True).any()) and bounds.are_kept(
                record["val_accuracy"], record["compression"]
            )
            record["kept"] = YES if record["feasible"] else NO
        else:
            record |= _over_models(models)
            record |= _beside(models, before, record["compression"], config["search"])
        record["feasible"] &= failed == 0
        records.append(record)
    frame = pd.DataFrame(records, columns=CONFIRMED_COLUMNS)
    return frame.sort_values("excess_gain", kind="stable", ignore_index=True)


def _bounds(trials: pd.DataFrame, config: Mapping[str, Any]) -> Bounds:
    return Bounds(
        accuracy=accuracy_bound(trials, config),
        compression=config["search"].get("min_compression"),
    )


def _dense_models(trials: pd.DataFrame, crossed: Crossed) -> CrossedModels | None:
    row = baseline(trials)
    return None if row is None else crossed.get(row["trial_id"])


def _over_models(models: CrossedModels) -> dict[str, Any]:
    """The figures that all models of a vector give, in place of those of the one that ships."""
    excess = models.excess
    found: dict[str, Any] = {
        "seeds": models.models,
        "excess_gain_se": excess.standard_error,
        "excess_gain_degrees": excess.degrees_of_freedom,
    }
    intervals = {
        "excess_gain": excess,
        "val_accuracy": models.accuracy("validation"),
        "test_accuracy": models.accuracy("test"),
    }
    for name, interval in intervals.items():
        found |= {name: interval.estimate, f"{name}_low": interval.low}
        found[f"{name}_high"] = interval.high
    return found


def _beside(
    models: CrossedModels, before: CrossedModels, compression: float, search: Mapping[str, Any]
) -> dict[str, Any]:
    """What a vector loses against the dense models, and whether that keeps the bounds."""
    lost, most = models.lost_against(before), float(search["max_accuracy_drop"])
    kept = judged(lost.low, lost.high, most)
    if not reaches(float(search.get("min_compression") or 0), compression):
        kept = NO
    return {
        "kept": kept,
        "feasible": kept == YES or (kept == UNDECIDED and reaches(lost.estimate, most)),
        "drop": lost.estimate,
        "drop_low": lost.low,
        "drop_high": lost.high,
    }


def by_other_pruners(
    trials: pd.DataFrame, config: Mapping[str, Any], crossed: Crossed = NOT_CROSSED
) -> pd.DataFrame:
    """Rows like those of `confirmed` for networks by other pruners, or with nothing removed.

    Columns: `pruner`, and `whole`, whether every weight was kept, besides those of `confirmed`.
    """
    made = trials[trials["kind"] == COMPARATOR]
    rest = trials[~trials["kind"].isin(["confirm", COMPARATOR])]
    frames = [
        confirmed(pd.concat([rest, rows.assign(kind="confirm")]), config, crossed).assign(
            pruner=str(pruner)
        )
        for pruner, rows in made.groupby("pruner", sort=False)
    ]
    found = pd.concat(frames) if frames else pd.DataFrame(columns=[*CONFIRMED_COLUMNS, "pruner"])
    whole = [n == sizes for n, sizes in zip(found["n"], found["layer_weights"], strict=True)]
    return found.assign(whole=whole).reset_index(drop=True)


def _rules(config: Mapping[str, Any]) -> dict[tuple[int, ...], list[str]]:
    rules: dict[tuple[int, ...], list[str]] = {}
    for name, n in config.get("comparators", {}).items():
        rules.setdefault(_vector(n), []).append(name)
    return rules


def confirmed_winner(
    trials: pd.DataFrame, config: Mapping[str, Any], crossed: Crossed = NOT_CROSSED
) -> pd.Series | None:
    """The row of `confirmed` that wins, by `outcome.winner`; None where none is feasible.

    Two vectors leak alike where the difference of their gains, in pairs, is not distinguishable
    from zero.
    """
    rows = confirmed(trials, config, crossed)
    feasible = rows[rows["feasible"].eq(True)]
    goal = goal_of(config["search"])
    entries = [
        {goal.objective: float(row[goal.objective]), "at": at, **row[["kept", "nonzero"]]}
        for at, (_, row) in enumerate(feasible.iterrows())
    ]
    models = [crossed.get(names[0]) for names in feasible["trial_ids"]]

    def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        first, second = models[one["at"]], models[other["at"]]
        if first is None or second is None or not first.fits(second):
            return False
        gap = first.less_than(second)
        return bool(gap.low <= 0 <= gap.high)

    best = winner(entries, goal, alike)
    return None if best is None else feasible.iloc[int(best["at"])]


def more_models_may_decide(
    trials: pd.DataFrame, config: Mapping[str, Any], crossed: Crossed = NOT_CROSSED
) -> bool:
    """Whether a vector that keeps the bounds on the mean alone wins, or would if it surely did."""
    best = confirmed_winner(trials, config, crossed)
    if best is None:
        return False
    rows = confirmed(trials, config, crossed)
    undecided = rows[rows["kept"].eq(UNDECIDED) & rows["feasible"].eq(True)]
    return bool(best["kept"] == UNDECIDED or undecided["excess_gain"].lt(best["excess_gain"]).any())


def nearest(
    trials: pd.DataFrame, config: Mapping[str, Any], crossed: Crossed = NOT_CROSSED
) -> pd.Series | None:
    """The row of `confirmed` nearest to the bounds, all seeds finished; None where there is none.

    Among equals it is the one that leaks least.
    """
    rows = confirmed(trials, config, crossed)
    rows = rows[rows["failed_seeds"].eq(0)]
    bounds = _bounds(trials, config)
    reached = zip(rows["val_accuracy"], rows["compression"], strict=True)
    violations: list[dict[str, Any]] = [
        {"number": at, **bounds.violations(accuracy, compression)}
        for at, (accuracy, compression) in enumerate(reached)
    ]
    first = nearest_first(violations, goal_of(config["search"]))
    return rows.iloc[int(first[0]["number"])] if first else None


_WITH_INTERVAL = ("val_accuracy", "test_accuracy", "attack_accuracy", "excess_gain")


_PLAIN_MEANS = ("compression", "flops_ratio", "train_accuracy", "attack_auc")


_TAIL_MEANS = ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr")


CONFIRMED_COLUMNS = [
    "n",
    "rule",
    "defense_parameters",
    "defense_spent",
    "seeds",
    "failed_seeds",
    "trial_ids",
    *(f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")),
    "excess_gain_se",
    "excess_gain_degrees",
    "family_excess",
    "reference_excess",
    "search_excess",
    *_PLAIN_MEANS,
    *_TAIL_MEANS,
    "nonzero",
    "weights",
    "parameters",
    "strongest_attack",
    "attack_gains",
    "layer_names",
    "layer_weights",
    "feasible",
    "kept",
    "drop",
    "drop_low",
    "drop_high",
]


def excess_interval(row: pd.Series) -> Interval:
    """The excess gain of a row of `confirmed`, or of one trial's row (images only), as Interval."""
    if "excess_gain_low" in row.index:
        return Interval(
            estimate=float(row["excess_gain"]),
            low=float(row["excess_gain_low"]),
            high=float(row["excess_gain_high"]),
            standard_error=float(row["excess_gain_se"]),
            degrees_of_freedom=float(row["excess_gain_degrees"]),
        )
    return mean_over_seeds([float(row["excess_gain"])], [float(row["attack_gain_se"])])


def images_behind(column: str, split_sizes: Mapping[str, int]) -> int:
    """How many images a column that is a share of images was measured on."""
    parts = {
        "val_accuracy": ("validation",),
        "test_accuracy": ("test",),
        "attack_accuracy": ("members", "non_members"),
        "train_accuracy": ("members",),
        "tpr_at_1pct_fpr": ("members",),
    }[column]
    missing = [part for part in parts if part not in split_sizes]
    if missing:
        raise InvalidInput(f"config.json is damaged: split_sizes lacks {', '.join(missing)}")
    unattacked = int(split_sizes.get("common", 0)) if column == "train_accuracy" else 0
    return unattacked + sum(int(split_sizes[part]) for part in parts)


Candidate = tuple[tuple[int, ...], tuple[tuple[str, float], ...]]
"""{n_i}, and the defence's own numbers by name: what makes two trials the same."""


def _vector(cell: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(int, cell))


def _numbers(cell: Mapping[str, float] | None) -> dict[str, float]:
    return dict(cell) if isinstance(cell, Mapping) else {}


def _candidates(rows: pd.DataFrame) -> list[Candidate]:
    return [
        (_vector(n), tuple(sorted(_numbers(numbers).items())))
        for n, numbers in zip(rows["n"], rows["defense_parameters"], strict=True)
    ]


def _means(rows: pd.DataFrame, split_sizes: Mapping[str, int]) -> dict[str, Any]:
    """One confirmed vector's figures over its complete rows."""
    excess = mean_over_seeds(
        rows["excess_gain"].astype(float).tolist(), rows["attack_gain_se"].astype(float).tolist()
    )
    record: dict[str, Any] = {
        "seeds": len(rows),
        "trial_ids": tuple(rows["trial_id"]),
        "excess_gain_se": excess.standard_error,
        "excess_gain_degrees": excess.degrees_of_freedom,
        "family_excess": float(np.mean([family_excess(gains) for gains in rows["attack_gains"]])),
        "reference_excess": float(
            np.mean([reference_excess(gains) for gains in rows["attack_gains"]])
        ),
        "nonzero": round(float(rows["nonzero"].astype(float).mean())),
        "weights": int(rows.iloc[0]["weights"]),
        "parameters": _count_or_nan(rows.iloc[0]["parameters"]),
        "strongest_attack": Counter(rows["strongest_attack"]).most_common(1)[0][0],
        "attack_gains": _mean_gains(rows),
        "defense_spent": _mean_numbers(rows["defense_spent"]),
        "layer_names": tuple(rows.iloc[0]["layer_names"]),
        "layer_weights": _vector(rows.iloc[0]["layer_weights"]),
    }
    for name in _WITH_INTERVAL:
        interval = excess
        if name != "excess_gain":
            values = rows[name].astype(float).tolist()
            interval = accuracy_over_seeds(values, images_behind(name, split_sizes))
        record |= {name: interval.estimate, f"{name}_low": interval.low}
        record[f"{name}_high"] = interval.high
    return record | {
        name: float(rows[name].astype(float).mean()) for name in (*_PLAIN_MEANS, *_TAIL_MEANS)
    }


def _count_or_nan(cell: object) -> float:
    """The count in a cell; NaN in tables of releases that did not record it."""
    return math.nan if pd.isna(cell) else float(cell)  # type: ignore[arg-type, call-overload]  # a cell of a table is an object


def _mean_gains(rows: pd.DataFrame) -> dict[str, float]:
    return _mean_numbers(rows["attack_gains"])


def _mean_numbers(column: pd.Series) -> dict[str, float]:
    """The mean over rows of a column of maps, for the names that every row has."""
    cells = [gains_in(cell) for cell in column]
    common = [name for name in cells[0] if all(name in cell for cell in cells)]
    return {name: float(np.mean([cell[name] for cell in cells])) for name in common}


def _search_values(trials: pd.DataFrame) -> dict[Candidate, float]:
    """Candidate -> the least excess gain that the search saw of it; NaN where it saw none."""
    rows = search_trials(trials)
    least: dict[Candidate, float] = {}
    for candidate, excess in zip(_candidates(rows), rows["excess_gain"].astype(float), strict=True):
        least[candidate] = float(np.fmin(least.get(candidate, math.nan), excess))
    return least


def _rows_of(rows: pd.DataFrame, candidate: Candidate) -> pd.DataFrame:
    return rows.loc[np.array([other == candidate for other in _candidates(rows)], dtype=bool)]
