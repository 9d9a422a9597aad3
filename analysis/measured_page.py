"""One measured network as one self-contained page, FOLDER/report.html, from the files beside it."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import figures, pages, roc, tables
from analysis.statistics import LOG4, Interval
from trainables.attacks.gain import reach
from trainables.base import noun

RESULT, CARD, SCORES, PAGE = "measured.json", "measured.md", "scores.parquet", "report.html"

STRONGEST = "strongest"
"""The name of the attack that is chosen for each fold on the others."""


def write_page(folder: Path) -> Path:
    """Write the page of what `search.measure` left in the folder; returns the file."""
    found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    scores = pd.read_parquet(folder / SCORES)
    with noun.spoken(found["noun"]):
        pages.write(folder / PAGE, pages.render("measured.html.jinja", _values(found, scores)))
    return folder / PAGE


def _values(found: dict[str, Any], scores: pd.DataFrame) -> dict[str, Any]:
    """What the template shows."""
    gains = {
        name: _interval(gain + LOG4, found["attack_errors"][name])
        for name, gain in found["leakage"]["attack_gains"].items()
    }
    curves = roc.curves(
        scores.assign(
            model="network",
            attack=STRONGEST,
            canary=False,
            score=scores["probability"],
            is_member=scores["is_member"].astype(bool),
        )
    )
    source = {name: str(value) for name, value in found["source"].items() if value != ""}
    return {
        "title": found["source"]["name"],
        "found": found,
        "tone": "warn" if found["doubts"] else "bad" if found["low"] > 0 else "good",
        "headline": _headline(found),
        "sides": tables.both_sides(found["on_members"], found["on_non_members"]),
        "attacker": tables.attacker(found["leakage"]),
        "roc": pages.figure(figures.roc(curves)),
        "audit": tables.audits(curves, "The strongest attack, chosen for each part on the others"),
        "gains": pages.figure(figures.attack_intervals(gains)),
        "attacks": tables.attack_intervals(gains),
        "source": tables.settings(source, "What was measured"),
    }


def _headline(found: dict[str, Any]) -> str:
    if found["doubts"]:
        return f"Check the lists of {found['noun']} first"
    excess = tables.nats(found["leakage"]["excess_gain"])
    if found["low"] > 0:
        return f"The network leaks {excess} nats about who was in its training set"
    return f"No leak is visible with these {found['noun']} and attacks"


def _interval(estimate: float, error: float) -> Interval:
    wide = reach(error)
    return Interval(
        estimate=estimate,
        low=estimate - wide,
        high=estimate + wide,
        standard_error=error,
        degrees_of_freedom=math.inf,
    )
