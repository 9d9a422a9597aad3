"""Writes what the cross-audit found about each model and image, below RUN/confirm.

Both tables are folders of parts named by the vector, as trials.parquet is of parts by the trial.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.attacks.cross_audit import CrossAudit
from trainables.base.storage import Place, write
from trainables.data.split import Indices
from trainables.records import CORRECT_SCHEMA, TERM_SCHEMA

TERMS, CORRECT = "terms.parquet", "correct.parquet"


def has_terms(folder: Place, vector: str, models: int) -> bool:
    """Whether both parts of the vector are on disk, with so many models."""
    return all(_models_in(_part(folder, name, vector)) == models for name in (CORRECT, TERMS))


def _models_in(part: Place) -> int:
    """How many models a part is of; 0 where it is absent or torn."""
    try:
        table = pq.read_table(pa.BufferReader(part.read_bytes()), columns=["half"])
    except (OSError, pa.ArrowException):
        return 0
    return len(table["half"].unique())


def copy_parts(source: Place, target: Place, vector: str) -> None:
    """Copy both parts of a vector, as far as they are there, from one RUN/confirm to another."""
    for name in (CORRECT, TERMS):
        part = _part(source, name, vector)
        if part.is_file():
            write(_part(target, name, vector), part.read_bytes())


def remove_terms(folder: Place, vector: str) -> None:
    """Delete the terms of a vector, which readers take for the sign that both parts are whole."""
    _part(folder, TERMS, vector).unlink(missing_ok=True)


def write_terms(
    folder: Place, vector: str, audit: CrossAudit, images: Indices, labels: Indices
) -> None:
    """Put the terms of a vector on disk.

    folder: RUN/confirm.  images, labels: (n,) of the audited images, positions in the data set.
    """
    copy_of = images if audit.copies is None else audit.copies
    models, count = audit.term.shape
    columns = {
        "vector": np.repeat(vector, models * count),
        "half": np.repeat(np.arange(models), count),
        "image": np.tile(images, models),
        "copy_of": np.tile(copy_of, models),
        "label": np.tile(labels, models),
        "inside": audit.trained_on.ravel(),
        "probability": audit.probability.ravel(),
        "term": audit.term.ravel(),
    }
    _put(_part(folder, TERMS, vector), pa.table(columns, schema=TERM_SCHEMA))


def write_correct(
    folder: Place,
    vector: str,
    correct: Mapping[str, np.ndarray],
    images: Mapping[str, Indices],
) -> None:
    """Put what the models of a vector are right about on disk.

    correct: part -> (m, images of the part) bool.  images: part -> positions in the data set.
    """
    tables = []
    for part, right in correct.items():
        models, count = right.shape
        columns = {
            "vector": np.repeat(vector, right.size),
            "half": np.repeat(np.arange(models), count),
            "part": np.repeat(part, right.size),
            "image": np.tile(images[part], models),
            "correct": right.ravel(),
        }
        tables.append(pa.table(columns, schema=CORRECT_SCHEMA))
    _put(_part(folder, CORRECT, vector), pa.concat_tables(tables))


def _part(folder: Place, name: str, vector: str) -> Place:
    return folder / name / f"{vector}.parquet"


def _put(target: Place, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write(target, sink.getvalue().to_pybytes())
