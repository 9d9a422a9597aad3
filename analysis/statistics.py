"""What the trials say, with 95% intervals: seeds, confirmed vectors, the winner.

Notation: S seeds, v_x the variance from the finite number of images, v_s the variance between
seeds, nu effective degrees of freedom.

Why these intervals. All seeds of a confirmed vector are attacked on the same images, so the noise
of the images is common to them and averaging over seeds does not shrink it; the noise of training
does shrink. Hence Var(mean) = v_x + v_s / S. v_x is known from thousands of per-image terms, v_s
is estimated from two to five seeds and is itself uncertain, so the quantile is Student's with the
degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, Biometrics Bulletin 2:110; JCGM
100:2008, G.4): nu = (v_x + v_s / S)^2 / ((v_s / S)^2 / (S - 1)). v_s also holds whatever part of
the image noise differs between seeds, so the interval errs on the wide side. From a single seed
v_s is unknown: the interval then covers the images only, and the report says so.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trainables.base.errors import InvalidInput
from trainables.outcome.feasible import VIOLATIONS, Bounds
from trainables.outcome.feasible import accuracy_bound as lowest_accuracy
from trainables.outcome.feasible import broken_bounds as broken_in
from trainables.outcome.objective import goal_of
from trainables.outcome.winner import nearest_first
from trainables.outcome.winner import winner as best_of
from trainables.records import COMPARATOR, FAILED, SEARCH_KINDS, WITH_REFERENCES

LOG4 = math.log(4)
"""Without a leak the gain is -LOG4 nats and the excess gain 0."""

LEVEL = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its 95% interval; bounds are not clipped to the possible range."""

    estimate: float
    low: float
    high: float

    standard_error: float
    degrees_of_freedom: float = math.inf


def _quantile(degrees_of_freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, degrees_of_freedom))


def _effective_degrees(seed_variance: float, total_variance: float, seeds: int) -> float:
    if seeds < 2 or seed_variance == 0:
        return math.inf
    ratio = total_variance / seed_variance
    return ratio * ratio * (seeds - 1)  # `**` would raise where this is infinite


def mean_over_seeds(values: Sequence[float], standard_errors: Sequence[float]) -> Interval:
    """Mean of one figure over seeds; image noise does not shrink with seeds (module docstring).

    values: (S,). standard_errors: (S,), over images, one per seed.

    >>> round(mean_over_seeds([0.5, 0.5], [0.1, 0.1]).standard_error, 3)
    0.1
    """
    if len(values) == 0 or len(values) != len(standard_errors):
        raise ValueError(f"need one error per value, got {len(values)}, {len(standard_errors)}")
    seeds = len(values)
    estimate = float(np.mean(values))
    image_variance = float(np.mean(np.square(standard_errors)))
    seed_variance = float(np.var(values, ddof=1)) / seeds if seeds > 1 else 0.0
    degrees = _effective_degrees(seed_variance, image_variance + seed_variance, seeds)
    error = math.sqrt(image_variance + seed_variance)
    reach = _quantile(degrees) * error
    return Interval(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        standard_error=error,
        degrees_of_freedom=degrees,
    )


def accuracy_over_seeds(accuracies: Sequence[float], images: int) -> Interval:
    """Mean accuracy on the same images over seeds: Wilson's interval at the effective sample size.

    Wilson's interval (1927, JASA 22:209) stays in [0, 1] and holds near 1; the spread between seeds
    enters as a smaller number of images (Korn and Graubard 1998, Survey Methodology 24:193) and
    through the Student quantile. For the balanced accuracy of an attack `images` counts both
    halves; the variance of one proportion is then an upper bound, by concavity of p (1 - p).
    """
    if len(accuracies) == 0 or images < 1:
        raise ValueError(f"need accuracies and images, got {len(accuracies)} and {images}")
    seeds = len(accuracies)
    p = float(np.mean(accuracies))
    image_variance = p * (1 - p) / images
    seed_variance = float(np.var(accuracies, ddof=1)) / seeds if seeds > 1 else 0.0
    total = image_variance + seed_variance
    effective = images if seed_variance == 0 else images * image_variance / total
    degrees = _effective_degrees(seed_variance, total, seeds)
    q = _quantile(degrees)
    scale = 1 + q * q / effective
    centre = (p + q * q / (2 * effective)) / scale
    reach = q / scale * math.sqrt(p * (1 - p) / effective + (q / (2 * effective)) ** 2)
    return Interval(
        estimate=p,
        low=max(0.0, min(centre - reach, p)),  # exact but for rounding at p = 0 and p = 1
        high=min(1.0, max(centre + reach, p)),
        standard_error=math.sqrt(total),
        degrees_of_freedom=degrees,
    )


def difference(first: Interval, second: Interval) -> Interval:
    """First minus second, from their two intervals (Newcombe 1998, Stat. Med. 17:873, method 10).

    Keeps the skew of Wilson's intervals. The two are taken as independent; models attacked on the
    same images have errors that agree, which makes the true interval narrower.

    >>> a = Interval(estimate=0.6, low=0.57, high=0.63, standard_error=0.015)
    >>> b = Interval(estimate=0.5, low=0.46, high=0.54, standard_error=0.02)
    >>> round(difference(a, b).low, 3), round(difference(a, b).high, 3)
    (0.05, 0.15)
    """
    estimate = first.estimate - second.estimate
    return Interval(
        estimate=estimate,
        low=estimate - math.hypot(first.estimate - first.low, second.high - second.estimate),
        high=estimate + math.hypot(first.high - first.estimate, second.estimate - second.low),
        standard_error=math.hypot(first.standard_error, second.standard_error),
    )


def ratio(numerator: Interval, denominator: Interval) -> Interval:
    """Numerator over denominator by the delta method: Var(a/b) = (s_a^2 + (a/b)^2 s_b^2) / b^2.

    The two are taken as independent; they share images, which makes their errors agree and the
    true interval narrower. The linearisation needs a denominator well away from zero: where its
    own 95% interval reaches zero, the ratio is not bounded by the data and its interval is
    (-inf, inf), as Fieller (1954) would say. Nothing is clipped: the low end may be negative,
    which means that the numerator is not distinguishable from zero.
    """
    if denominator.low <= 0 <= denominator.high or math.isnan(denominator.low):
        estimate = math.nan
        if denominator.estimate != 0:
            estimate = numerator.estimate / denominator.estimate
        return Interval(estimate=estimate, low=-math.inf, high=math.inf, standard_error=math.inf)
    r = numerator.estimate / denominator.estimate
    parts = (
        (numerator.standard_error / denominator.estimate) ** 2,
        (r * denominator.standard_error / denominator.estimate) ** 2,
    )
    total = sum(parts)
    spread = (
        parts[0] ** 2 / numerator.degrees_of_freedom
        + parts[1] ** 2 / denominator.degrees_of_freedom
    )
    degrees = total**2 / spread if spread > 0 else math.inf
    reach = _quantile(degrees) * math.sqrt(total)
    return Interval(
        estimate=r,
        low=r - reach,
        high=r + reach,
        standard_error=math.sqrt(total),
        degrees_of_freedom=degrees,
    )


def least_visible(members: int, non_members: int) -> float:
    """The least excess gain, in nats, whose own 95% interval excludes zero; inf without images.

    With a leak of x nats the best attack's probabilities are on average sqrt(x) / 2 from 1/2, so
    that each image's term of eq. 1 scatters by sqrt(x), to first order in x: the standard error
    is sqrt(x (1 / m + 1 / k)), and x becomes distinguishable from zero at q^2 (1 / m + 1 / k).
    Attacks that found exactly nothing have a standard error of zero, which says nothing about
    their power.

    >>> round(least_visible(1000, 1000), 4)
    0.0077
    """
    if members < 1 or non_members < 1:
        return math.inf
    return _quantile(math.inf) ** 2 * (1 / members + 1 / non_members)


def family_excess(gains: object) -> float:
    """The largest excess gain of the attacks without references, floored by the constant 0.5.

    It is flattered by the choice: it is the largest of several noisy values, on the images that
    chose it. Only `excess_gain` is free of that; the folds of the two kinds are not recorded apart.
    gains: attack -> G in nats, or null. Returns nats, NaN when no attack was run.
    """
    family = [gain for name, gain in _gains(gains).items() if name not in WITH_REFERENCES]
    return max(0.0, max(family) + LOG4) if family else math.nan


def reference_excess(gains: object) -> float:
    """The largest excess gain of the attacks with matched references, which is flattered likewise.

    gains: as for `family_excess`. Returns nats, NaN when no such attack was run.
    """
    informed = [gain for name, gain in _gains(gains).items() if name in WITH_REFERENCES]
    return max(informed) + LOG4 if informed else math.nan


def _gains(cell: object) -> dict[str, float]:
    """A cell of `attack_gains`: a dict, pandas' list of pairs, or null."""
    if isinstance(cell, Mapping):
        return dict(cell)
    return dict(cell) if isinstance(cell, Sequence | np.ndarray) else {}


def baseline(trials: pd.DataFrame) -> pd.Series | None:
    """The dense network's row, None while it has not been measured."""
    rows = trials[(trials["kind"] == "baseline") & (trials["state"] == "COMPLETE")]
    return None if rows.empty else rows.iloc[0]


def search_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Anchors and suggested trials in the order in which they were numbered."""
    return trials[trials["kind"].isin(SEARCH_KINDS)].sort_values("number")


def accuracy_bound(trials: pd.DataFrame, config: Mapping[str, Any]) -> float:
    """Least validation accuracy of a feasible trial: dense minus drop; NaN before the baseline."""
    dense = baseline(trials)
    accuracy = config.get("dense_val_accuracy") if dense is None else dense["val_accuracy"]
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
    usable = rows["feasible"].eq(True) & rows["state"].eq("COMPLETE")
    values = rows["excess_gain"].astype(float).where(usable)
    return pd.DataFrame(
        {"number": rows["number"].astype(int), "best": values.cummin().ffill()}
    ).reset_index(drop=True)


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


def confirmed(trials: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    """One row per confirmed candidate, least excess gain first; figures are means over fresh seeds.

    config: config.json (bounds of the search and sizes of the splits). `x`, `x_low`, `x_high` are
    an estimate and its 95% interval; `excess_gain` is the strongest attack's, `family_excess` and
    `reference_excess` are the two kinds apart, `search_excess` what the search had seen. `rule`
    names the published allocations that give this very vector, "" for the search's own. Feasible:
    the mean validation accuracy and the compression meet their bounds, some seed alone did too,
    and none failed (a seed that diverged has no accuracy and must not be averaged away).
    """
    rows = trials[trials["kind"] == "confirm"]
    bounds = _bounds(trials, config)
    rules = _rules(config)
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
        record["search_excess"] = _search_value(trials, candidate)
        record["feasible"] = (
            failed == 0
            and bool(complete["feasible"].eq(True).any())
            and bounds.are_kept(record["val_accuracy"], record["compression"])
        )
        records.append(record)
    frame = pd.DataFrame(records, columns=CONFIRMED_COLUMNS)
    return frame.sort_values("excess_gain", kind="stable", ignore_index=True)


def _bounds(trials: pd.DataFrame, config: Mapping[str, Any]) -> Bounds:
    return Bounds(
        accuracy=accuracy_bound(trials, config),
        compression=config["search"].get("min_compression"),
    )


def by_other_pruners(trials: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    """Rows like those of `confirmed` for networks by other pruners, or with nothing removed.

    Columns: `pruner`, and `whole`, whether every weight was kept, besides those of `confirmed`.
    """
    made = trials[trials["kind"] == COMPARATOR]
    rest = trials[~trials["kind"].isin(["confirm", COMPARATOR])]
    frames = [
        confirmed(pd.concat([rest, rows.assign(kind="confirm")]), config).assign(pruner=str(pruner))
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


def winner(trials: pd.DataFrame, config: Mapping[str, Any]) -> pd.Series | None:
    """The feasible row of `confirmed` that is best by what the search looked for; None without one.

    Among equals it is the one that leaks least.
    """
    rows = confirmed(trials, config)
    feasible = rows[rows["feasible"].eq(True)]
    goal = goal_of(config["search"])
    values = feasible[goal.objective].astype(float)
    best = best_of([{goal.objective: value, "at": at} for at, value in enumerate(values)], goal)
    return None if best is None else feasible.iloc[int(best["at"])]


def nearest(trials: pd.DataFrame, config: Mapping[str, Any]) -> pd.Series | None:
    """The row of `confirmed` nearest to the bounds, all seeds finished; None where there is none.

    Among equals it is the one that leaks least.
    """
    rows = confirmed(trials, config)
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
    return sum(int(split_sizes[part]) for part in parts)


Candidate = tuple[tuple[int, ...], tuple[tuple[str, float], ...]]
"""{n_i}, and the defence's own numbers by name: what makes two trials the same."""


def _vector(cell: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(count) for count in cell)


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
    cells = [_gains(cell) for cell in column]
    common = [name for name in cells[0] if all(name in cell for cell in cells)]
    return {name: float(np.mean([cell[name] for cell in cells])) for name in common}


def _search_value(trials: pd.DataFrame, candidate: Candidate) -> float:
    same = _rows_of(search_trials(trials), candidate)
    return float(same["excess_gain"].astype(float).min()) if not same.empty else math.nan


def _rows_of(rows: pd.DataFrame, candidate: Candidate) -> pd.DataFrame:
    return rows.loc[np.array([other == candidate for other in _candidates(rows)], dtype=bool)]
