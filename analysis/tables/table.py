"""A table of ready text, and its plain and Markdown forms."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Text cells under headers; the first `text_columns` columns hold words, the rest numbers."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


def as_text(table: Table) -> str:
    """The table in aligned columns for a terminal."""
    lines = [[_bracketed(cell) for cell in line] for line in (table.headers, *table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headers))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < table.text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _bracketed(cell: str) -> str:
    first, _, rest = cell.partition("\n")
    return f"{first} ({rest})" if rest else first


def as_markdown(table: Table) -> str:
    """The table for a Markdown file, intervals in brackets; bars in cells are escaped."""
    lines = [table.headers, ["---"] * len(table.headers), *table.rows]
    return "\n".join(
        "| " + " | ".join(_bracketed(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )
