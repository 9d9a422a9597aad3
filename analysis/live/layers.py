"""{n_i}: the share of each layer's weights that a vector keeps, as the report draws it."""

from typing import Any

import pandas as pd

from analysis.colours import BLUE, INK, RULE
from analysis.tables import percent

WIDE = 0.6
"""From this share on a bar holds its numbers; else they stand beside it."""


def layers(row: pd.Series, whose: str) -> dict[str, Any]:
    """A bar per layer.  row: of trials.parquet or `statistics.confirmed`.  whose: in words."""
    names, kept, sizes = (list(row[name]) for name in ("layer_names", "n", "layer_weights"))
    ratios = [n / size for n, size in zip(kept, sizes, strict=True)]
    counts = [f"{n:,} of {size:,}" for n, size in zip(kept, sizes, strict=True)]
    words = [f"{percent(ratio)} ({count})" for ratio, count in zip(ratios, counts, strict=True)]
    wide = [ratio >= WIDE for ratio in ratios]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "hoverinfo": "text",
        "hovertext": words,
        "textposition": "inside",
        "constraintext": "none",
        "textangle": 0,
    }
    inside = [word if fits else "" for word, fits in zip(words, wide, strict=True)]
    beside = ["" if fits else word for word, fits in zip(words, wide, strict=True)]
    kept_part = {"x": ratios, "text": inside, "marker": {"color": BLUE}}
    cut_part = {"x": [1 - ratio for ratio in ratios], "text": beside, "marker": {"color": RULE}}
    return {
        "data": [
            bar | kept_part | {"insidetextanchor": "end", "textfont": {"color": "white"}},
            bar | cut_part | {"insidetextanchor": "start", "textfont": {"color": INK}},
        ],
        "layout": {
            "barmode": "stack",
            "showlegend": False,
            "xaxis": {"title": {"text": "weights kept"}, "tickformat": ".0%", "range": [0, 1]},
            "yaxis": {"autorange": "reversed", "automargin": True, "showgrid": False},
            "height": 130 + 30 * len(names),
        },
        "alt": f"Share of weights kept per layer, {whose}: "
        + ", ".join(f"{name} {word}" for name, word in zip(names, words, strict=True)),
    }
