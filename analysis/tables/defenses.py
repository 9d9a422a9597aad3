"""Tables of a comparison of defences: ready cells in, each table under its headers."""

from collections.abc import Mapping, Sequence

from analysis.tables.table import Table
from analysis.tables.words import level_name
from trainables.base import noun


def in_short(cells: Mapping[str, Sequence[str]], levels: Sequence[float]) -> Table:
    """Defence -> its least leak at each level; one line per defence."""
    return Table(
        caption="Least excess gain (nats) where accuracy may fall by so much; 95% intervals in the "
        "second line",
        headers=["defence", *map(level_name, levels)],
        rows=[[name, *row] for name, row in cells.items()],
    )


def of_level(level: float, references: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """One line per defence at one level; references: the defences that it is compared with."""
    return Table(
        caption=f"Accuracy may fall by {level_name(level)}; 95% intervals in the second line",
        headers=[
            "defence",
            "its numbers",
            "keeps the level",
            "excess gain (nats)",
            *(f"minus that of {name}, in pairs" for name in references),
            f"accuracy lost on unseen {noun.many()}",
            "test accuracy",
            "compression",
        ],
        rows=rows,
        text_columns=3,
    )


def costs(rows: Sequence[Sequence[str]]) -> Table:
    """One line per defence: what it takes to make, to ask and to keep."""
    return Table(
        caption="What each defence costs: seconds are medians of the trials in full, the size is "
        "that of the candidate of the loosest level",
        headers=[
            "defence",
            "to make",
            "seconds of training, a model",
            f"milliseconds to answer {noun.a()}",
            "arithmetic of an answer, share of dense",
            "compression",
            "time of its run",
        ],
        rows=rows,
        text_columns=2,
    )
