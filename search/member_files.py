"""Reads which images were trained on: indices, or file names, one a line, row or item."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from trainables.base import noun
from trainables.base.errors import UNREADABLE, InvalidInput, one_line
from trainables.data.folders import IMAGE_ENDINGS
from trainables.data.images import Data, ImageFiles
from trainables.data.split import Indices

TABLES = (".csv", ".parquet")
"""Endings of files whose one column has a name."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def read_positions(path: Path, images: Data, option: str) -> Indices:
    """The positions that `path` names among the images, ascending, each once.

    Text holds one index or file name a line; .npy an array of them; .csv and .parquet one column
    with a name. Indices count from 0 in the order of the data set's loader; file names are those
    below the data folder, as train/cat/1.jpg.
    option: what named the file, for messages.
    Raises InvalidInput for a file that cannot be read, and for an entry that is unknown, outside
    the data set or there twice.
    """
    entries = [str(entry).strip() for entry in _entries(path, option)]
    if not entries:
        raise InvalidInput(f"{option} {path} names nothing: give one index or file name a line")
    where = f"{option} {path}"
    if all(_WHOLE.fullmatch(entry) for entry in entries):
        positions = _in_range(entries, len(images.labels), where)
    else:
        positions = _of_files(entries, images, where)
    _require_once(entries, positions, where)
    return np.sort(np.array(positions, dtype=np.int64))


def _entries(path: Path, option: str) -> list[object]:
    try:
        if path.suffix == ".npy":
            return _array(np.load(path, allow_pickle=False), f"{option} {path}")
        if path.suffix in TABLES:
            return _column(path, f"{option} {path}")
        text = path.read_text(encoding="utf-8-sig")
    except InvalidInput:
        raise
    except OSError as error:
        cause = error.strerror or one_line(error)
        raise InvalidInput(f"{option} {path} cannot be read: {cause}") from error
    except UNREADABLE as error:
        raise InvalidInput(f"{option} {path} cannot be read: {one_line(error)[:200]}") from error
    return [line for line in text.splitlines() if line.strip()]


def _array(found: object, where: str) -> list[object]:
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iuU":
        kind = getattr(found, "dtype", "several arrays")
        raise InvalidInput(
            f"{where} holds {kind} {getattr(found, 'shape', '')}: give one dimension of whole "
            "numbers, as np.flatnonzero(mask) makes of a mask, or of file names"
        )
    return list(found.tolist())


def _column(path: Path, where: str) -> list[object]:
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    else:
        table = pd.read_parquet(path)
    names = [str(name) for name in table]
    if len(names) != 1:
        raise InvalidInput(
            f"{where} has the columns {', '.join(names) or '(none)'}: give one; pandas leaves its "
            "index out with index=False"
        )
    if _WHOLE.fullmatch(names[0]) or names[0].lower().endswith(IMAGE_ENDINGS):
        raise InvalidInput(
            f"{where} has the column name {names[0]}: give a name, as index, in the first line, or "
            "the list as a text file"
        )
    column = table.iloc[:, 0]
    if not (pd.api.types.is_integer_dtype(column) or pd.api.types.is_string_dtype(column)):
        raise InvalidInput(
            f"{where} has a column of {column.dtype}: give whole numbers or file names"
        )
    if column.isna().any():
        raise InvalidInput(f"{where}: {int(column.isna().sum())} values are missing")
    return list(column.tolist())


def _in_range(entries: list[str], count: int, where: str) -> list[int]:
    positions = [int(entry) for entry in entries]
    for position in positions:
        if not 0 <= position < count:
            raise InvalidInput(
                f"{where}: index {position} is not in the data set: it has {count:,} "
                f"{noun.many()}, 0 to {count - 1}"
            )
    return positions


def _of_files(entries: list[str], images: Data, where: str) -> list[int]:
    if not isinstance(images, ImageFiles):
        odd = next(entry for entry in entries if not _WHOLE.fullmatch(entry))
        raise InvalidInput(
            f"{where}: {odd!r} is no index: this data set's {noun.many()} have no file names, "
            f"give whole numbers from 0 to {len(images.labels) - 1}"
        )
    known = {os.fsdecode(file): position for position, file in enumerate(images.files)}
    positions = []
    for entry in entries:
        name = os.path.normpath(entry)
        if name.startswith(f"{images.folder}{os.sep}"):
            name = os.path.relpath(name, images.folder)
        if name not in known:
            raise InvalidInput(
                f"{where}: {entry!r} is no image below {images.folder}: names are as "
                f"{next(iter(known))}"
            )
        positions.append(known[name])
    return positions


def _require_once(entries: list[str], positions: list[int], where: str) -> None:
    first: dict[int, int] = {}
    for number, position in enumerate(positions):
        if position in first:
            raise InvalidInput(
                f"{where}: {entries[number]} is there twice, as entries {first[position] + 1} and "
                f"{number + 1}: name each image once"
            )
        first[position] = number
