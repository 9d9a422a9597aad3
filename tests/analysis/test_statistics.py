"""Intervals against simulation and SciPy; winners against rows written by hand."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import statistics
from analysis.statistics import (
    LOG4,
    Interval,
    accuracy_over_seeds,
    confirmed_vectors,
    mean_over_seeds,
    ratio,
)
from trainables.base.errors import InvalidInput

NORMAL = stats.norm.ppf(0.975)


def coverage_of_the_truth(seed_noise: float, image_noise: float, seeds: int) -> float:
    """Share of simulated experiments whose interval holds the true mean, 0.03."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        shared = generator.normal(0, image_noise)
        values = 0.03 + shared + generator.normal(0, seed_noise, seeds)
        interval = mean_over_seeds(values.tolist(), [image_noise] * seeds)
        held.append(interval.low <= 0.03 <= interval.high)
    return float(np.mean(held))


@pytest.mark.parametrize(
    ("seed_noise", "image_noise"), [(0.01, 0.0001), (0.005, 0.005), (0.0001, 0.01)]
)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_truth_95_times_in_100(
    seed_noise: float, image_noise: float, seeds: int
) -> None:
    assert 0.92 <= coverage_of_the_truth(seed_noise, image_noise, seeds) <= 0.985


def test_image_noise_does_not_shrink_with_seeds() -> None:
    assert mean_over_seeds([0.1] * 50, [0.02] * 50).standard_error == pytest.approx(0.02)


def test_seed_noise_alone_is_the_textbook_t_interval() -> None:
    values = [0.010, 0.014, 0.021]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    interval = mean_over_seeds(values, [0.0, 0.0, 0.0])
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_seed_gives_the_image_interval() -> None:
    interval = mean_over_seeds([0.05], [0.01])
    assert interval.high - interval.low == pytest.approx(2 * NORMAL * 0.01)


@pytest.mark.parametrize("values", [[], [0.1, 0.2]])
def test_mean_needs_one_error_per_value(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one error per value"):
        mean_over_seeds(values, [0.1] if values else [])


@given(st.integers(1, 5000), st.data())
def test_one_accuracy_has_scipys_wilson_interval(images: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, images))
    expected = stats.binomtest(correct, images).proportion_ci(0.95, method="wilson")
    interval = accuracy_over_seeds([correct / images], images)
    assert interval.low == pytest.approx(expected.low, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, abs=1e-9)
    assert interval.low <= interval.estimate <= interval.high


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_accuracy_intervals_are_wider_with_spread_and_stay_in_range(values: list[float]) -> None:
    interval = accuracy_over_seeds(values, 1000)
    steady = accuracy_over_seeds([float(np.mean(values))], 1000)
    assert -1e-12 <= interval.low <= interval.estimate <= interval.high <= 1 + 1e-12
    assert interval.high - interval.low >= steady.high - steady.low - 1e-9


def test_accuracy_needs_images() -> None:
    with pytest.raises(ValueError, match="images"):
        accuracy_over_seeds([0.5], 0)


def interval(estimate: float, error: float) -> Interval:
    return Interval(
        estimate=estimate,
        low=estimate - NORMAL * error,
        high=estimate + NORMAL * error,
        standard_error=error,
    )


def test_ratio_agrees_with_simulation() -> None:
    generator = np.random.default_rng(1)
    draws = generator.normal(0.03, 0.004, 200_000) / generator.normal(0.08, 0.004, 200_000)
    found = ratio(interval(0.03, 0.004), interval(0.08, 0.004))
    assert found.estimate == pytest.approx(0.375)
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)


def test_ratio_to_nothing_measurable_is_unbounded() -> None:
    found = ratio(interval(0.01, 0.004), interval(0.005, 0.004))
    assert found.estimate == pytest.approx(2)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(ratio(interval(0.01, 0.004), interval(0.0, 0.004)).estimate)


def test_ratio_bounds_are_not_clipped_at_zero() -> None:
    assert ratio(interval(0.001, 0.004), interval(0.08, 0.004)).low < 0


def test_few_seeds_widen_the_ratio() -> None:
    few = mean_over_seeds([0.02, 0.03, 0.04], [0.001] * 3)
    many = dataclasses.replace(few, degrees_of_freedom=math.inf)
    dense = interval(0.08, 0.004)
    assert ratio(few, dense).high > ratio(many, dense).high


@pytest.mark.parametrize("pairs", [True, False])
def test_family_and_reference_are_told_apart(pairs: bool) -> None:
    gains = {"thresholds": 0.01 - LOG4, "calibrated": 0.02 - LOG4, "reference": 0.05 - LOG4}
    cell = list(gains.items()) if pairs else gains
    assert statistics.family_excess(cell) == pytest.approx(0.02)
    assert statistics.reference_excess(cell) == pytest.approx(0.05)


def test_family_is_floored_by_the_constant_attack() -> None:
    assert statistics.family_excess({"neural": -LOG4 - 0.2}) == 0
    assert math.isnan(statistics.family_excess(None))
    assert math.isnan(statistics.reference_excess({"neural": -1.0}))


def test_winner_is_the_feasible_vector_with_the_least_confirmed_gain(
    make: SimpleNamespace,
) -> None:
    trials = make.frame(make.full())
    rows = statistics.confirmed(trials, make.config())
    assert rows["feasible"].tolist() == [False, True, True]  # the least leaky is not accurate
    assert rows["excess_gain"].is_monotonic_increasing
    best = statistics.confirmed_winner(trials, make.config())
    assert best is not None
    assert best["n"] == tuple(round(0.25 * size) for size in best["layer_weights"])
    assert best["seeds"] == 3
    assert best["excess_gain"] == pytest.approx(0.031)
    assert best["family_excess"] == pytest.approx(0.017)
    assert best["reference_excess"] == pytest.approx(0.031)
    assert best["search_excess"] == pytest.approx(0.012)
    assert best["val_accuracy"] == pytest.approx(0.929)
    assert best["test_accuracy"] == pytest.approx(0.932)
    assert best["strongest_attack"] == "reference"
    assert best["compression"] == pytest.approx(4, rel=0.01)


def test_the_searched_vectors_are_looked_through_once_however_many_were_confirmed(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    candidates = confirmed_vectors._candidates

    def counted(rows: pd.DataFrame) -> list[confirmed_vectors.Candidate]:
        looked_at.append(int(rows["kind"].isin(["anchor", "search"]).sum()))
        return candidates(rows)

    monkeypatch.setattr(confirmed_vectors, "_candidates", counted)
    trials = make.frame(make.full())
    assert len(statistics.confirmed(trials, make.config())) == 3
    assert sum(looked_at) == trials["kind"].isin(["anchor", "search"]).sum()


def test_at_a_given_epsilon_the_most_accurate_wins_as_the_search_looked_for_it(
    make: SimpleNamespace,
) -> None:
    trials = make.frame(make.full())
    for searched, keep in ((False, 0.35), (True, 0.25)):
        epsilon = {"low": 8.0, "high": 8.0, "default": 8.0, "searched": searched}
        settings = make.config(defense="dp", parameters={"epsilon": epsilon})
        best = statistics.confirmed_winner(trials, settings)
        assert best is not None
        assert best["n"] == tuple(round(keep * size) for size in best["layer_weights"]), searched


def test_a_trial_that_failed_broke_no_bound(make: SimpleNamespace) -> None:
    records = [
        make.trial("search", 0, accuracy_violation=0.1),
        make.without_gain(make.trial("search", 1), "FAILED", accuracy_violation=None, error="x"),
    ]
    assert statistics.hardest_bound(make.frame(records)) == (
        "accuracy (missed by 100% of 1 searched trials)"
    )


def test_the_least_visible_leak_is_that_of_a_simulated_best_attack() -> None:
    """Attacker who says 1/2 + e for members and 1/2 - e for others, rightly so on average."""
    generator, images, leak = np.random.default_rng(0), 1000, 0.02
    e = math.sqrt(leak) / 2
    right = generator.random((4000, 2 * images)) < 0.5 + e  # the best says member to a member
    terms = np.log(2 * np.where(right, 0.5 + e, 0.5 - e))
    gains = terms[:, :images].mean(1) + terms[:, images:].mean(1)
    assert gains.mean() == pytest.approx(leak, rel=0.05)
    assert gains.std() == pytest.approx(math.sqrt(leak * 2 / images), rel=0.05)
    least = statistics.least_visible(images, images)
    assert least == pytest.approx(1.96 * math.sqrt(least * 2 / images), rel=1e-3)
    assert statistics.least_visible(0, 10) == math.inf


def test_confirmed_gains_are_of_the_rows_mean_and_interval(make: SimpleNamespace) -> None:
    best = statistics.confirmed_winner(make.frame(make.full()), make.config())
    assert best is not None
    expected = mean_over_seeds([0.030, 0.031, 0.032], [0.006] * 3)
    found = statistics.excess_interval(best)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected), abs=1e-9)


def test_compression_bound_decides_too(make: SimpleNamespace) -> None:
    trials = make.frame(make.full())
    assert statistics.confirmed_winner(trials, make.config(min_compression=5.0)) is None
    best = statistics.confirmed_winner(trials, make.config(min_compression=3.9))
    assert best is not None


def test_a_vector_with_a_failed_seed_cannot_win(make: SimpleNamespace) -> None:
    records = make.full()
    failed = make.without_gain(records[-6], "FAILED", val_accuracy=None, error="nan")
    records[-6] = failed
    rows = statistics.confirmed(make.frame(records), make.config())
    assert rows["feasible"].sum() == 1
    assert rows.loc[~rows["feasible"].astype(bool), "failed_seeds"].max() == 1


def test_accuracy_exactly_on_the_bound_is_feasible(make: SimpleNamespace) -> None:
    records = [
        dataclasses.replace(make.dense(), val_accuracy=0.93),
        make.trial("confirm", 0, val_accuracy=0.92, test_accuracy=0.92),
    ]
    config = {**make.config(), "dense_val_accuracy": 0.93}
    assert statistics.confirmed_winner(make.frame(records), config) is not None


def test_without_confirm_rows_there_is_no_winner(make: SimpleNamespace) -> None:
    trials = make.frame([make.dense(), *make.searched()])
    rows = statistics.confirmed(trials, make.config())
    assert rows.empty
    assert list(rows.columns) == statistics.CONFIRMED_COLUMNS
    assert statistics.confirmed_winner(trials, make.config()) is None


def test_only_failed_confirmation_gives_no_row(make: SimpleNamespace) -> None:
    failed = make.without_gain(make.trial("confirm", 0), "FAILED")
    assert statistics.confirmed(make.frame([make.dense(), failed]), make.config()).empty


def test_a_config_without_split_sizes_is_named(make: SimpleNamespace) -> None:
    config = {**make.config(), "split_sizes": {"members": 10}}
    with pytest.raises(InvalidInput, match="split_sizes lacks validation"):
        statistics.confirmed(make.frame(make.full()), config)


def test_bound_comes_from_the_config_or_else_from_the_baseline(make: SimpleNamespace) -> None:
    trials = make.frame([make.trial("search", 0)])
    assert statistics.accuracy_bound(trials, make.config()) == pytest.approx(0.925)
    config = {**make.config(), "dense_val_accuracy": None}
    assert math.isnan(statistics.accuracy_bound(trials, config))
    trials = make.frame([dataclasses.replace(make.dense(), val_accuracy=0.95)])
    assert statistics.accuracy_bound(trials, config) == pytest.approx(0.94)
    assert statistics.accuracy_bound(trials, make.config()) == pytest.approx(0.925), "the mean"


def test_the_best_by_time_goes_by_when_trials_ended(make: SimpleNamespace) -> None:
    start = make.trial("search", 0).started_at
    records = [
        make.trial("search", 0, excess=0.02, started_at=start, duration_s=300.0),
        make.trial("search", 1, excess=0.03, started_at=start, duration_s=60.0),
        make.trial("search", 2, excess=0.01, started_at=start, duration_s=90.0, feasible=False),
    ]
    found = statistics.best_by_time(make.frame(records))
    assert found["minutes"].tolist() == [1.0, 1.5, 5.0]
    assert found["best"].tolist() == pytest.approx([0.03, 0.03, 0.02])


def test_best_so_far_counts_feasible_complete_trials_in_order(make: SimpleNamespace) -> None:
    records = [
        make.trial("search", 3, excess=0.02),
        make.trial("anchor", 0, excess=0.05, feasible=False),
        make.trial("search", 1, excess=0.03),
        make.without_gain(make.trial("search", 2), "PRUNED"),
        make.trial("confirm", 0, excess=0.001),
    ]
    curve = statistics.best_so_far(make.frame(records))
    assert curve["number"].tolist() == [0, 1, 2, 3]
    assert curve["best"].tolist() == pytest.approx([math.nan, 0.03, 0.03, 0.02], nan_ok=True)


def test_hardest_bound_is_the_one_broken_most(make: SimpleNamespace) -> None:
    records = [
        make.trial("search", 0, accuracy_violation=0.1, compression_violation=0.1),
        make.trial("search", 1, accuracy_violation=-0.1, compression_violation=0.1),
    ]
    assert statistics.hardest_bound(make.frame(records)) == (
        "compression (missed by 100% of 2 searched trials)"
    )
    assert statistics.hardest_bound(make.frame([make.trial("search", 0)])) is None
