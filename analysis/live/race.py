"""The race and the confirmation while they run, as a picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.colours import BLUE, GREEN, MUTED
from analysis.standings import OUT, name_of


def figure(found: Sequence[Mapping[str, Any]], weights: int) -> dict[str, Any] | None:
    """A bar per vector, as long as its models; who is out is hatched."""
    if not found:
        return None
    names = [name_of(number, one["vector"], weights) for number, one in enumerate(found, 1)]
    out = [one["state"].startswith(OUT) for one in found]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": {"race": "models of the race", "confirm": "confirming models"}[kind],
            "y": names,
            "x": [one["models"].get(kind, [0])[0] for one in found],
            "marker": {
                "color": [MUTED if lost else colour for lost in out],
                "pattern": {"shape": ["/" if lost else shape for lost in out]},
            },
        }
        for kind, colour, shape in (("race", BLUE, ""), ("confirm", GREEN, "."))
    ]
    alive = out.count(False)
    longest = max(sum(counts[0] for counts in one["models"].values()) for one in found)
    return {
        "data": traces,
        "layout": {
            "barmode": "stack",
            "xaxis": {
                "title": {"text": "models made"},
                "rangemode": "tozero",
                "dtick": max(1, math.ceil(longest / 8)),
            },
            "yaxis": {"autorange": "reversed", "automargin": True, "showgrid": False},
            "height": 150 + 26 * len(names),
        },
        "alt": f"Models made of each vector: {alive} of {len(found)} vectors are still in; the "
        "table below says it in numbers.",
    }
