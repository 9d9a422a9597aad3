"""What the overhead is computed from."""

import pandas as pd
import pytest

from tests.benchmarks.bench_overhead import overhead


def test_two_slots_that_never_wait_are_perfect_and_gaps_cost() -> None:
    start = pd.Timestamp("2026-01-01", tz="UTC")
    rows = [("anchor", 0, 3), ("search", 0, 3), ("search", 3, 3), ("search", 3, 3)]
    others = [("baseline", -99, 50), ("confirm", 99, 50)]
    trials = pd.DataFrame(rows + others, columns=["kind", "at", "duration_s"])
    trials["started_at"] = start + pd.to_timedelta(trials["at"], "s")
    assert overhead(trials, 2) == pytest.approx(1)
    assert overhead(trials, 1) == pytest.approx(0.5)
    trials.loc[3, "started_at"] += pd.Timedelta("1.5s")
    assert overhead(trials, 2) == pytest.approx(7.5 / 6)
