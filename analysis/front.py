"""The front of a run: the least leak that it confirmed at each level of allowed accuracy drop."""

import dataclasses
import math

import pandas as pd

from analysis import cross_audit, statistics
from analysis.load import RunRecord
from analysis.statistics import Interval
from trainables.outcome.feasible import NO, UNDECIDED, as_if_bound
from trainables.outcome.objective import levels_of
from trainables.records import FrontRecord


def at_level(run: RunRecord, level: float) -> RunRecord:
    """The run as if `level` had been its bound, for whoever judges its trials and vectors.

    The audit stays only where it is of the level's own winner.
    """
    if level == float(run.config["search"]["max_accuracy_drop"]):
        return run
    config = {**run.config, "search": {**run.config["search"], "max_accuracy_drop": level}}
    higher = statistics.accuracy_bound(run.trials, config) - statistics.accuracy_bound(
        run.trials, run.config
    )
    names = ["state", "feasible", "accuracy_violation", "compression_violation"]
    cells = zip(*(run.trials[name] for name in names), strict=True)
    seen = [as_if_bound(dict(zip(names, row, strict=True)), higher) for row in cells]
    trials = run.trials.assign(**{name: [row[name] for row in seen] for name in names[1:3]})
    found = dataclasses.replace(run, config=config, trials=trials)
    ours, theirs = _winner(run), _winner(found)
    same = ours is not None and theirs is not None and ours["trial_ids"] == theirs["trial_ids"]
    return found if same else dataclasses.replace(found, audit=None)


def _winner(run: RunRecord) -> pd.Series | None:
    return statistics.confirmed_winner(run.trials, run.config, run.crossed)


def front(run: RunRecord) -> list[FrontRecord]:
    """One record per level, the least drop first; none for a run that looked at its bound alone."""
    if not run.config["search"].get("levels"):
        return []
    return [
        _record(at_level(run, level), level) for level in sorted(levels_of(run.config["search"]))
    ]


def _record(run: RunRecord, level: float) -> FrontRecord:
    best, dense = _winner(run), statistics.dense(run.trials, run.crossed)
    if best is None or dense is None:
        return FrontRecord(level=level, kept=NO)
    pairs = cross_audit.of_winner(run)
    quotient = _quotient(best, dense) if pairs is None else pairs.ratio
    drop = float(best["drop"])
    if math.isnan(drop):  # without a cross-audit
        drop = float(dense["val_accuracy"]) - float(best["val_accuracy"])
    figures = {
        "drop": drop,
        "drop_low": best["drop_low"],
        "drop_high": best["drop_high"],
        "ratio": quotient.estimate if math.isfinite(quotient.low) else math.nan,
        "ratio_low": quotient.low,
        "ratio_high": quotient.high,
        "compression": best["compression"],
    }
    for name in ("excess_gain", "test_accuracy"):
        figures |= {f"{name}{end}": best[f"{name}{end}"] for end in ("", "_low", "_high")}
    parameters = _known(best["parameters"])
    return FrontRecord(
        level=level,
        kept=UNDECIDED if math.isnan(best["drop"]) else str(best["kept"]),  # of one model
        trial_id=str(best["trial_ids"][0]),
        parameters=None if parameters is None else int(parameters),
        n=[int(count) for count in best["n"]],
        defense_parameters=dict(best["defense_parameters"]),
        **{name: _known(value) for name, value in figures.items()},
    )


def _quotient(best: pd.Series, dense: pd.Series) -> Interval:
    return statistics.ratio(statistics.excess_interval(best), statistics.excess_interval(dense))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
