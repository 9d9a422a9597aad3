"""The divergence against quadrature on two normals, at no leak and at a full one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from trainables.attacks.divergence import (
    bin_count,
    jensen_shannon,
    output_divergence,
    quantile_bins,
)
from trainables.attacks.evidence import Evidence


def half_of(n, generator):
    return generator.permutation(n) < n // 2


def js_of_normals(shift):
    def halves(x):
        p, q = norm.pdf(x, shift), norm.pdf(x)
        return (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2

    return quad(halves, -8, 8 + shift)[0]


def over_seeds(shift, *, n=2000, seeds=60):
    """(seeds, 2) values and standard errors on two unit normals `shift` apart."""
    found = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        is_member = half_of(n, generator)
        estimate = jensen_shannon(generator.normal(size=n) + shift * is_member, is_member)
        found.append((estimate.value, estimate.standard_error))
    return np.array(found)


@pytest.mark.parametrize("shift", [0.3, 0.6, 1.0, 2.0, 4.0])
def test_it_is_that_of_two_normals(shift):
    values, errors = over_seeds(shift).T
    noise = values.std(ddof=1) / math.sqrt(len(values))
    assert values.mean() == pytest.approx(js_of_normals(shift), abs=3 * noise + 0.002)
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.35)
    assert (np.abs(values - js_of_normals(shift)) <= 3 * errors).mean() >= 0.95


@pytest.mark.parametrize("n", [600, 2000])
def test_without_a_leak_it_is_zero_but_for_noise(n):
    values, errors = over_seeds(0.0, n=n, seeds=100).T
    assert (np.abs(values) <= 3 * errors).all()
    assert values.mean() == pytest.approx(0, abs=3 * values.std(ddof=1) / 10 + 0.0005)
    assert values.min() < 0  # not cut off: that would bias the mean


def test_full_separation_is_log_two():
    is_member = half_of(2000, np.random.default_rng(0))
    estimate = jensen_shannon(
        np.random.default_rng(1).normal(size=2000) + 100 * is_member, is_member
    )
    assert estimate.value == pytest.approx(math.log(2), abs=0.005)
    assert estimate.standard_error < 0.005


def test_correct_or_not_as_the_only_difference_needs_no_more_than_two_values():
    """Two values: JS by hand; the correction for one excess cell is 1 / 2n."""
    is_member = np.arange(2000) < 1000
    statistic = np.zeros(2000)
    statistic[:900] = statistic[1000:1600] = 1.0
    p, q = np.array([0.9, 0.1]), np.array([0.6, 0.4])
    mean = (p + q) / 2
    js = (np.sum(p * np.log(p / mean)) + np.sum(q * np.log(q / mean))) / 2
    assert jensen_shannon(statistic, is_member).value == pytest.approx(js - 1 / 4000)


@given(
    arrays(np.int64, 60, elements=st.integers(0, 4)),
    st.integers(0, 2**32 - 1),
)
def test_before_the_correction_it_is_the_mutual_information_of_bin_and_membership(values, seed):
    is_member = half_of(60, np.random.default_rng(seed))
    bins = quantile_bins(values.astype(float), bin_count(60))
    cells = len(set(zip(bins.tolist(), is_member.tolist(), strict=True)))
    excess = (cells - len(np.unique(bins)) - 1) / 120
    found = jensen_shannon(values.astype(float), is_member)
    assert found.value + excess == pytest.approx(mutual_info_score(is_member, bins), abs=1e-9)
    assert found.standard_error >= 0


def test_a_monotone_change_of_the_statistic_changes_nothing():
    generator = np.random.default_rng(0)
    is_member = half_of(500, generator)
    statistic = generator.normal(size=500) + is_member
    assert jensen_shannon(np.exp(statistic), is_member) == jensen_shannon(statistic, is_member)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_model_cannot_look_private_by_scaling_its_logits(planted, factor):
    evidence = planted(n=1000, leak=2.0)
    scaled = Evidence(evidence.logits * factor, evidence.labels, evidence.is_member)
    plain, changed = output_divergence(evidence), output_divergence(scaled)
    assert changed.value == pytest.approx(plain.value)
    assert plain.value > 3 * plain.standard_error


def test_equal_outputs_say_nothing():
    evidence = Evidence(np.ones((40, 3)), np.arange(40) % 3, np.arange(40) < 20)
    assert output_divergence(evidence).value == pytest.approx(0)


def test_bins_are_equally_full():
    bins = quantile_bins(np.random.default_rng(0).normal(size=1000), 20)
    np.testing.assert_array_equal(np.bincount(bins), 50)
