"""Winners of simulated searches, trained for real on halves that no table and no search saw.

A surrogate has errors, and a search finds them: what a winner is expected to leak may be too
little.  Here eight models of each are made like those of the table, but on halves 8 to 15.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from search.space import Counts
from tests.benchmarks.blackbox import Figures
from tests.benchmarks.eight_models import EightModels
from tests.benchmarks.methods import GRID, PUBLISHED_BEST, RACE
from tests.benchmarks.planned_vectors import Planned
from tests.benchmarks.table import DENSE, MODELS, Table
from tests.benchmarks.tabulate import tabulate
from trainables.base.seeding import derive_seed

CHECKED = (RACE, "flat TPE", GRID, "OptunaSearch", PUBLISHED_BEST)
"""Methods whose winners are trained."""

SEEDS = 8
"""Of each; about 30 s of a core a winner."""


def checked(frame: pd.DataFrame, blackbox: str, budget: int) -> pd.DataFrame:
    """The rows of a blackbox's results whose winners are trained."""
    return frame[
        (frame["blackbox"] == blackbox)
        & (frame["budget"] == budget)
        & frame["method"].isin(CHECKED)
        & (frame["seed"] < SEEDS)
        & frame["found"]
    ]


def number_of(n: Counts) -> int:
    """Names a vector's part of the table, whatever else is in it."""
    return derive_seed(0, str(n)) % 10**12


def measure_afresh(rows: pd.DataFrame, folder: Path, *, seed: int, workers: int) -> Table:
    """The table of the rows' winners; those that are in it already are not trained again.

    seed: of the table from which the blackbox is.
    """
    vectors = dict.fromkeys(tuple(int(count) for count in n) for n in rows["n"])

    def winners(_models: EightModels) -> list[tuple[int, Planned]]:
        return [(number_of(n), Planned(source="winner", n=n)) for n in vectors]

    table = Table(folder)
    tabulate(table, winners, seed=seed, workers=workers, first=MODELS)
    return table


def beside(rows: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The rows with `measured_leak`, nats, and `measured_lost`, a fraction, of their own models."""
    found = table.rows()
    dense = found[found["source"] == DENSE].iloc[0]
    pruned = found[found["source"] != DENSE]
    figures = Figures.of_rows(pruned, dense).of
    at = {int(number): place for place, number in enumerate(pruned["number"])}
    places = np.array([at[number_of(tuple(int(count) for count in n))] for n in rows["n"]])
    return rows.assign(measured_leak=figures["leak"][places], measured_lost=figures["lost"][places])
