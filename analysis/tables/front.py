"""The table of the front: the winner at each level of allowed accuracy drop."""

from collections.abc import Callable, Sequence

from analysis.tables.table import Table
from analysis.tables.words import UNKNOWN, level_name, nats, percent, times
from trainables.base import noun
from trainables.records import FrontRecord


def front(records: Sequence[FrontRecord]) -> Table:
    """One line per level, the least drop first."""
    return Table(
        caption="The confirmed winner at each allowed drop in accuracy; 95% intervals in the "
        "second line",
        headers=[
            "accuracy may fall by",
            "vector",
            "keeps it",
            "excess gain (nats)",
            "ratio to dense",
            f"accuracy lost on unseen {noun.many()}",
            "test accuracy",
            "compression",
        ],
        rows=[_line(record) for record in records],
        text_columns=3,
    )


def _line(record: FrontRecord) -> list[str]:
    start = [level_name(record.level), record.trial_id or "none confirmed"]
    if record.trial_id is None:
        return [*start, *[UNKNOWN] * 6]
    return [
        *start,
        record.kept,
        _bounded(record, "excess_gain", nats),
        _bounded(record, "ratio", _two_digits),
        _bounded(record, "drop", percent),
        _bounded(record, "test_accuracy", percent),
        times(record.compression),
    ]


def _bounded(record: FrontRecord, name: str, words: Callable[[float | None], str]) -> str:
    value, low, high = (getattr(record, f"{name}{end}") for end in ("", "_low", "_high"))
    known = low is not None and high is not None
    return words(value) + (f"\n{words(low)} to {words(high)}" if known else "")


def _two_digits(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
