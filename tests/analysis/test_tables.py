"""How figures read."""

import math

import pandas as pd
import pytest

from analysis import tables


@pytest.mark.parametrize("show", [tables.percent, tables.nats, tables.times])
def test_unknown_figures_are_a_dash(show: object) -> None:
    assert callable(show)
    assert show(None) == tables.UNKNOWN
    assert show(math.nan) == tables.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (3600, "1 h"), (90, "1 min 30 s"), (math.nan, tables.UNKNOWN)],
)
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert tables.duration(seconds) == text


def test_vectors_beyond_the_alphabet_are_numbered() -> None:
    kept = ["yes"] * 25 + ["undecided", "no"]
    rows = pd.DataFrame({"rule": "", "feasible": [True] * 26 + [False], "kept": kept})
    names = tables.vector_names(rows)
    assert names[0] == "A"
    assert names[25] == "Z (undecided)"
    assert names[26] == "27 (not feasible)"


def test_settings_are_flattened_with_dotted_names() -> None:
    table = tables.settings({"admm": {"rho": 0.01}, "budget": None}, "Settings")
    assert table.rows == [["admm.rho", "0.01"], ["budget", tables.UNKNOWN]]
