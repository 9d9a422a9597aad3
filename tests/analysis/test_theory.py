"""Eq. 10 in the report: trials on the line agree, those off it are marked on the right side."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from analysis import figures, run_page, statistics, tables

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")

RunWriter = Callable[..., Path]
LOG4 = math.log(4)


@pytest.fixture
def rows(make: SimpleNamespace) -> pd.DataFrame:
    """Standard errors: JS 0.003, half the gain 0.003; so 3 combined are 0.0127 nats."""
    trials = [
        make.trial("search", 0, excess=0.04),
        make.trial("search", 1, excess=0.04, js_divergence=0.020 + 0.0126),
        make.trial("search", 2, excess=0.04, js_divergence=0.020 + 0.0128),
        make.trial("confirm", 0, excess=0.08, reference=0.30, js_divergence=0.04 - 0.0128),
        make.without_gain(make.trial("search", 3), "PRUNED"),
        make.trial("search", 4, js_divergence_se=None),  # written before it was measured
    ]
    return statistics.theory(make.frame(trials))


def test_disagreement_is_beyond_three_combined_standard_errors(rows: pd.DataFrame) -> None:
    assert list(rows["trial_id"]) == ["search-0000", "search-0001", "search-0002", "confirm-0000"]
    assert list(rows["disagrees"]) == [False, False, True, True]
    assert rows["errors"][2] == pytest.approx(0.0128 / math.hypot(0.003, 0.003))


def test_attacks_with_references_are_left_out(rows: pd.DataFrame) -> None:
    assert rows["half_excess"].iloc[-1] == pytest.approx(0.04)


def test_the_gap_is_training_minus_validation_accuracy(rows: pd.DataFrame) -> None:
    assert rows["accuracy_gap"].to_list() == pytest.approx([0.06] * 4)


def test_the_table_begins_with_the_worst_and_says_which_side_fell_short(rows: pd.DataFrame) -> None:
    table = tables.theory(rows)
    assert {row[0]: row[1] for row in table.rows} == {
        "search-0002": "the attacks miss something",
        "confirm-0000": "the attacks know more",
        "search-0001": "agree",
        "search-0000": "agree",
    }
    assert table.rows[-1][0] == "search-0000"
    assert all(len(row) == len(table.headers) for row in table.rows)


def test_the_figures_count_what_lies_apart(rows: pd.DataFrame) -> None:
    assert "more than 3 standard errors apart (2)" in figures.theory(rows)
    agreeing = figures.theory(rows[~rows["disagrees"]])
    assert "apart" not in re.sub(r'aria-label="[^"]*"', "", agreeing)
    assert "training minus validation accuracy (%)" in figures.accuracy_gap(rows)


def test_the_report_states_how_many_trials_contradict_eq_10(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    trials = [make.trial("search", number, excess=0.01 * number + 0.01) for number in range(4)]
    trials.append(make.trial("search", 4, js_divergence=0.2))
    page = run_page.write_report(write_run(trials)).read_text(encoding="utf-8")
    assert "Of 5 complete trials, 1 lie more than 3" in page
    assert "in 1 the attacks found less than there is, in 0" in page


def test_a_run_without_such_estimates_shows_no_theory_check(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run([make.trial("search", 0, js_divergence_se=None)])
    assert "Theory check" not in run_page.write_report(folder).read_text(encoding="utf-8")


def test_rank_correlation_is_of_ranks_and_needs_three_trials() -> None:
    x, y = pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 10.0, 100.0])
    assert statistics.rank_correlation(x, y) == pytest.approx(1)
    assert statistics.rank_correlation(x, -y) == pytest.approx(-1)
    assert math.isnan(statistics.rank_correlation(x[:2], y[:2]))
    assert math.isnan(statistics.rank_correlation(x, y * 0))


def test_every_attack_with_references_counts_as_such() -> None:
    gains = {"neural": 0.02 - LOG4, "reference": 0.03 - LOG4, "adaptive": 0.05 - LOG4}
    assert statistics.family_excess(gains) == pytest.approx(0.02)
    assert statistics.reference_excess(gains) == pytest.approx(0.05)
    assert statistics.reference_excess({"samia": 0.01 - LOG4}) == pytest.approx(0.01)
