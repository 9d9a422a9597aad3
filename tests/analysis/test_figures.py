"""Pictures of awkward tables: they are drawn, and they say what they left out."""

import math
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis import figures, statistics
from analysis.roc import Curve
from analysis.statistics import Interval


def parsed(svg: str) -> str:
    """All text of a picture; fails where the markup is not well-formed."""
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    root = ET.fromstring(svg.replace("<svg ", f"<svg {namespaces} ", 1))
    return " ".join("".join(root.itertext()).split())


def test_tradeoff_counts_what_it_cannot_place(make: SimpleNamespace) -> None:
    far = make.without_gain(make.trial("search", 30), "PRUNED", val_accuracy=0.2)
    trials = make.frame([make.dense(), *make.searched(), far])
    dense = statistics.baseline(trials)
    text = parsed(figures.tradeoff(trials, dense, None, 0.925))
    assert "stopped early (2, 1 beyond the axis)" in text
    assert "failed (1, not drawn)" in text
    assert "validation accuracy (%)" in text
    assert "nats" in text


def test_points_say_under_the_pointer_what_was_tried(make: SimpleNamespace) -> None:
    odd = make.trial("search", 0, layer_names=['a"b>', "c", "d", "e", "f"], keep=0.25)
    text = parsed(figures.tradeoff(make.frame([odd]), None, None, 0.9))
    assert 'search-0000: 0.0200 nats, 93.0%, 4.0×; keeps a"b> 25.3%, c 25.0%' in text


def test_tradeoff_without_bound_or_complete_trial(make: SimpleNamespace) -> None:
    trials = make.frame([make.without_gain(make.trial("search", 0), "FAILED", val_accuracy=None)])
    assert "failed (1" in parsed(figures.tradeoff(trials, None, None, float("nan")))


def test_progress_without_a_feasible_trial(make: SimpleNamespace) -> None:
    trials = make.frame([make.trial("search", 0, feasible=False)])
    assert "no feasible trial" in figures.progress(trials, None)


@pytest.mark.parametrize("count", [1, 60])
def test_layers_name_every_count(make: SimpleNamespace, count: int) -> None:
    best = pd.Series(
        {
            "layer_names": tuple(f"a.very.long.name.of.a.layer.block{i}" for i in range(count)),
            "n": tuple(range(1000, 1000 + count)),
            "layer_weights": (1100,) * count,
        }
    )
    text = parsed(figures.layers(best))
    assert all(f"({1000 + i:,} of 1,100)" in text for i in range(count))


def test_names_in_any_script_are_drawn(make: SimpleNamespace) -> None:
    best = pd.Series({"layer_names": ("層<1>$",), "n": (1,), "layer_weights": (2,)})
    assert "層<1>$" in parsed(figures.layers(best))


def test_winners_curse_without_references(make: SimpleNamespace) -> None:
    rows = pd.DataFrame(
        {"search_excess": [0.01], "family_excess": [0.02], "reference_excess": [np.nan]}
    )
    assert "seen by the search" in parsed(figures.winners_curse(rows, ["A"]))


def test_residuals_need_admm_epochs(make: SimpleNamespace) -> None:
    epochs = make.frame(make.epochs("confirm-0000"))
    picture = figures.residuals(epochs)
    assert picture is not None
    assert "relative residual" in parsed(picture)
    assert figures.residuals(epochs[epochs["phase"] == "retrain"]) is None


def test_residuals_that_are_all_zero_are_drawn_on_a_plain_axis(make: SimpleNamespace) -> None:
    epochs = make.frame(make.epochs("confirm-0000"))
    zero = epochs.assign(primal_residual=0.0, dual_residual=0.0)
    assert figures.residuals(zero) is not None


def test_no_figure_shows_raw_formulas_on_its_axes(make: SimpleNamespace) -> None:
    for reach in (0.05, 0.9):  # within one power of ten, and over several
        epochs = pd.DataFrame(
            {
                "phase": "admm",
                "epoch": range(3),
                "primal_residual": [0.54, 0.5, 0.54 * (1 - reach) ** 2],
                "dual_residual": [0.5, 0.5, 0.5],
            }
        )
        assert "mathdefault" not in str(figures.residuals(epochs))
    rates = np.array([0.0, 0.001, 0.1, 1.0])
    unknown = Interval(estimate=math.nan, low=math.nan, high=math.nan, standard_error=math.nan)
    curve = Curve(
        model="dense",
        attack="lira-online",
        canary=False,
        members=1000,
        non_members=1000,
        false_positive_rate=rates,
        true_positive_rate=rates**0.5,
        auc=unknown,
        excess_gain=unknown,
        tpr={},
    )
    drawn = figures.roc([curve])
    assert "mathdefault" not in drawn
    assert "0.1%" in drawn
