"""The table of tabulated vectors: a folder of parquet files and how they were made.

As in Syne Tune's blackbox repository (Salinas et al. 2022, AutoML Conf.) a search is simulated on
measured trials.  Each vector is a part of its own until `pack` joins them in one file.  A part is
written whole or not at all, so a kill loses only the vectors in work.
`pandas.read_parquet(folder)` reads it too: names that begin with `_` are no parts.

Halves: models 0 .. 7 of a vector are trained on halves 0 .. 7 of the run's pool; `first` are the
models 0 .. 3, `second` the models 4 .. 7.  Accuracies and their losses are fractions, gains nats.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.base.errors import InvalidInput
from trainables.base.storage import write

MODELS = 8
"""Models of each vector."""

ATTACKED = 2
"""Models, from the first, that are also attacked alone, as a trial of a search is."""

DENSE = "dense"
"""The source of the row of the dense models, which nothing pruned; its number is -1."""

PUBLISHED = ("uniform", "uniform+", "erk", "lamp")
"""Sources of rows that are published allocations; `level` is their overall keep ratio."""

ABOUT = "_about.json"

PACKED = "packed.parquet"
"""The vectors whose parts were joined."""

_PER_MODEL = pa.list_(pa.float64())

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),  # in the fixed order of planned vectors
        ("source", pa.string()),  # dense, whole, space, boundary, or one of PUBLISHED
        ("level", pa.float64()),
        ("layer_names", pa.list_(pa.string())),
        ("layer_weights", pa.list_(pa.int64())),
        ("n", pa.list_(pa.int64())),
        ("compression", pa.float64()),
        ("val_accuracy", _PER_MODEL),
        ("test_accuracy", _PER_MODEL),
        ("outside_accuracy", _PER_MODEL),  # on the pool's images that the model did not train on
        ("family", _PER_MODEL),  # excess gain of the attacks of a search trial, ATTACKED models
        ("family_se", _PER_MODEL),
        ("gains", _PER_MODEL),  # each model's own excess gain in the cross-audit of all
        *(
            (f"{figure}_{part}{error}", pa.float64())
            for figure in ("crossed", "lost")  # excess gain; validation accuracy lost, in pairs
            for part in ("all", "first", "second")
            for error in ("", "_se")
        ),
        ("seconds", pa.float64()),  # of one core
    ]
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A folder of measured vectors."""

    folder: Path

    def begin(self, about: dict[str, Any]) -> None:
        """Say what the rows are made by, or check that a table begun earlier says the same.

        Raises InvalidInput where it says otherwise.
        """
        path = self.folder / ABOUT
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write(path, (json.dumps(about, indent=2) + "\n").encode())
        different = [key for key, value in self.about.items() if about.get(key) != value]
        if different:
            raise InvalidInput(
                f"{self.folder} was begun with another {', '.join(different)}: choose a new folder"
            )

    @property
    def about(self) -> dict[str, Any]:
        """What `begin` was told. Raises InvalidInput where there is no table."""
        path = self.folder / ABOUT
        if not path.exists():
            raise InvalidInput(f"{self.folder} is no table: write one with `make bench-tabulate`")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def put(self, row: dict[str, Any]) -> None:
        """Add one vector; a row of the same number is replaced."""
        part = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row], SCHEMA), part)
        write(self._part(row["number"]), part.getvalue().to_pybytes())

    def numbers(self) -> set[int]:
        """Numbers of the vectors that were measured; -1 is the dense models'."""
        found = [pq.read_table(part, columns=["number"])["number"] for part in self._files()]
        return {number for column in found for number in column.to_pylist()}

    def rows(self) -> pd.DataFrame:
        """All vectors so far, by number. Raises InvalidInput where there is none."""
        files = self._files()
        if not files:
            raise InvalidInput(f"{self.folder} holds no vectors yet")
        tables = [pq.read_table(file, schema=SCHEMA) for file in files]
        rows = pa.concat_tables(tables).to_pandas().drop_duplicates("number")
        return rows.sort_values("number", ignore_index=True)

    def pack(self) -> None:
        """Join all parts in one file, as it is kept in a repository."""
        rows = self.rows()
        packed = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(rows, SCHEMA, preserve_index=False), packed)
        write(self.folder / PACKED, packed.getvalue().to_pybytes())
        for number in rows["number"]:  # a kill before here leaves rows twice; readers see one
            self._part(number).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9a-z]*.parquet"))

    def _part(self, number: int) -> Path:
        return self.folder / (f"{number:05d}.parquet" if number >= 0 else f"{DENSE}.parquet")
