"""The simulated slots of bench_width."""

import numpy as np

from tests.benchmarks.bench_width import POLICIES, compared, searched
from tests.benchmarks.laboratory import Laboratory
from tests.benchmarks.methods import METHODS


def test_one_at_a_time_is_the_search_that_the_other_benchmarks_simulate(blackbox):
    rows, ended = searched(Laboratory(blackbox, 0), 20, 1, "layer")
    plain = METHODS["flat TPE"].search(Laboratory(blackbox, 0), 20)
    assert [row["n"] for row in rows] == [row["n"] for row in plain]
    assert 15 < ended < 27, "twenty trials of about one each"


def test_all_at_a_time_end_together_and_their_vectors_are_suggested_blind(blackbox):
    rows, ended = searched(Laboratory(blackbox, 0), 20, 20, "layer")
    assert sorted(row["number"] for row in rows) == list(range(20))
    assert 1 < ended < 3
    again, _ = searched(Laboratory(blackbox, 0), 20, 1, "layer")
    by_number = {row["number"]: row["n"] for row in rows}
    assert any(by_number[row["number"]] != row["n"] for row in again)


def test_policies_are_compared_on_the_same_seeds(blackbox):
    frame = compared(blackbox, [8], [5], seeds=2, most_trials=30)
    assert list(frame["policy"].unique()) == ["all slots", "a fifth of the trials"]
    widths = frame.groupby("policy")["width"].first()
    assert widths.to_dict() == {"all slots": 5, "a fifth of the trials": 2}
    assert np.isfinite(frame["matched"]).all()
    assert POLICIES["more trials"].trials(5, 8) == 40
