"""Pictures of awkward tables: they are drawn, and they say what they left out."""

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis import figures, statistics


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
