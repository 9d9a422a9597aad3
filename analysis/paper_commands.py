"""The commands that run the rows of the paper's tables, and rows on other data beside them."""

import dataclasses

from trainables.base.commandline import program
from trainables.paper import TABLE4, TABLES, AccuracyTable, Row, WeightsRow

STAND_IN = "mnist5k"
"""The data set that comes with the installation; rows on it stand in for MNIST's."""


def with_stand_ins(table: AccuracyTable) -> AccuracyTable:
    """The table with a row on the embedded 5,000 images after its row on MNIST."""
    rows: list[Row] = []
    for row in table.rows:
        rows.append(row)
        if row.dataset == "mnist":
            label = f"MNIST5k-{row.label.removeprefix('MNIST-')}"
            rows.append(
                dataclasses.replace(row, label=label, dataset=STAND_IN, stands_in=row.label)
            )
    return dataclasses.replace(table, rows=tuple(rows))


def command(table: int, row: Row | WeightsRow, defense: str) -> str:
    """The shell command of one system of one row."""
    if row.dataset == STAND_IN:
        words = f"--dataset {row.dataset} --model {row.model}"
    else:
        words = f"--preset paper-table{table}-{row.dataset}-{row.model}"
    words += f" --defense {defense}"
    if defense == "dp" and isinstance(row, Row) and row.epsilon is not None:
        words += f" --epsilon {row.epsilon:g}"
    return program("search.run", *words.split())


def all_commands() -> list[str]:
    """Every command that the page can print."""
    accuracy = [
        command(table.number, row, defense)
        for table in map(with_stand_ins, TABLES.values())
        for row in table.rows
        for defense in row.systems
    ]
    return accuracy + [command(4, row, "pruning") for row in TABLE4]
