"""Several runs side by side as JSON: the figures behind the page, in full precision."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from analysis import side_by_side, statistics
from analysis.load import RunRecord, run_name
from analysis.run_page import wall_clock
from analysis.statistics import Interval
from analysis.winners_in_pairs import Pair, p_value


def as_json(runs: Sequence[RunRecord], pairs: Sequence[Pair], caveats: Sequence[str]) -> str:
    """Keys: runs, pairs, caveats. Gains in nats, accuracies as fractions, times in seconds.

    What is not known is null; every interval has estimate, low and high, at 95%.
    """
    found = {
        "runs": [_run(run, run_name(run, runs)) for run in runs],
        "pairs": [_pair(one) for one in pairs],
        "caveats": list(caveats),
    }
    return json.dumps(found, indent=2, allow_nan=False)


def _run(run: RunRecord, name: str) -> dict[str, Any]:
    search, rows = run.config["search"], statistics.search_trials(run.trials)
    best = side_by_side.defended(run, name)
    winner = None
    if best is not None and best.feasible:
        winner = {
            "trial_id": str(best.rows.iloc[0]["trial_id"]),
            "models": best.seeds,
            "excess_gain": _interval(best.excess()),
            "test_accuracy": _interval(best.share("test_accuracy")),
            "compression": _number(best.mean("compression")),
            "n": [int(count) for count in best.rows.iloc[0]["n"]],
        }
    return {
        "run": name,
        "folder": str(run.path),
        **{key: search.get(key) for key in ("dataset", "model", "defense", "sampler", "seed")},
        "winner": winner,
        "trials": len(rows),
        "feasible": int(rows["feasible"].eq(True).sum()),
        "wall_clock_s": _number(wall_clock(run.trials)),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "other": pair.other,
        "in_pairs": pair.in_pairs,
        **{
            name: {**_interval(found), "p": _number(p_value(found))}
            for name, found in (
                ("excess_gain", pair.excess_gain),
                ("test_accuracy", pair.test_accuracy),
            )
        },
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    known = dataclasses.asdict(interval)
    return {name: _number(known[name]) for name in ("estimate", "low", "high")}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
