"""ROC figures against scikit-learn, bootstrap intervals against what they should cover."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from analysis import figures, tables
from analysis.roc import bootstrap_weights, curves, descending, rates


def frame(scores, is_member, **changes):
    columns = {
        "model": "dense",
        "attack": "loss",
        "image": np.arange(len(scores)),
        "is_member": is_member,
        "canary": False,
        "score": np.asarray(scores, dtype=float),
        "probability": np.where(is_member, 0.6, 0.4),
    }
    return pd.DataFrame(columns | changes)


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=4, max_size=60).filter(
        lambda rows: 2 <= sum(member for _, member in rows) <= len(rows) - 2
    )
)
def test_area_and_hits_are_scikit_learns_ties_included(rows):
    scores, members = np.array([row[0] for row in rows], float), np.array([r[1] for r in rows])
    (curve,) = curves(frame(scores, members), replicates=3)
    assert curve.auc.estimate == pytest.approx(roc_auc_score(members, scores))
    false_rate, true_rate, _ = roc_curve(members, scores, drop_intermediate=False)
    for rate, found in curve.tpr.items():
        assert found.estimate == pytest.approx(true_rate[false_rate <= rate].max())


def test_a_replicate_is_the_curve_of_the_drawn_images():
    generator = np.random.default_rng(0)
    scores, members = generator.normal(size=50), generator.permutation(50) < 25
    (weights,) = bootstrap_weights(members, 4)
    order, ends = descending(scores)
    false_rate, true_rate = rates(weights, members, order, ends)
    for row in range(4):
        drawn = np.repeat(np.arange(50), weights[row].astype(int))
        assert members[drawn].sum() == 25
        area = np.trapezoid(np.append(0, true_rate[row]), np.append(0, false_rate[row]))
        assert area == pytest.approx(roc_auc_score(members[drawn], scores[drawn]))


def test_the_interval_covers_the_known_area_of_two_gaussians():
    """AUC of two unit normals d apart is Phi(d / sqrt 2); 95% intervals should nearly always hold
    it."""
    held = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        members = np.arange(600) < 300
        (curve,) = curves(frame(generator.normal(size=600) + members, members), replicates=300)
        held += curve.auc.low <= norm.cdf(1 / np.sqrt(2)) <= curve.auc.high
    assert held >= 34


def test_canaries_and_models_are_kept_apart_and_sorted():
    members = np.arange(40) % 2 == 0
    generator = np.random.default_rng(0)
    parts = [
        frame(generator.normal(size=40) + shift * members, members, model=model, canary=canary)
        for model, shift in (("winner", 0.5), ("dense", 3.0))
        for canary in (True, False)
    ]
    found = curves(pd.concat(parts), replicates=5)
    assert [(c.model, c.canary) for c in found] == [
        ("dense", False),
        ("winner", False),
        ("dense", True),
        ("winner", True),
    ]
    assert {(c.members, c.non_members) for c in found} == {(20, 20)}


def test_the_figure_and_the_table_show_every_attack():
    members = np.arange(40) % 2 == 0
    scores = np.random.default_rng(0).normal(size=40) + members
    rows = [frame(scores, members, attack=name) for name in ("lira-online", "<script>")]
    found = curves(pd.concat(rows), replicates=5)
    svg = figures.roc(found)
    assert "lira-online" in svg
    assert "<script>" not in svg
    table = tables.audits(found, "audit")
    assert {row[1] for row in table.rows} == {"lira-online", "<script>"}
    assert all(len(row) == len(table.headers) for row in table.rows)
