"""Writes what was measured to parquet: one part per trial, so a trial can only be there once.

trials.parquet and epochs.parquet are folders of parts named by the trial. A part is written whole
or not at all (trainables/base/storage.py). Writing a trial costs the same however many there are,
and writing it again replaces it. front.parquet is one file, written at a run's end.
"""

import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, children, is_temporary, place, write
from trainables.records import (
    EPOCH_SCHEMA,
    FRONT_SCHEMA,
    KINDS,
    STATES,
    TRIAL_SCHEMA,
    DamagedPart,
    EpochRecord,
    FrontRecord,
    NewerPart,
    TrialRecord,
    read_part,
    to_table,
)

TRIALS, EPOCHS, FRONT = "trials.parquet", "epochs.parquet", "front.parquet"


class Ledger:
    """The parquet folders of one run, on a disk or in an object store."""

    def __init__(self, folder: str | Place) -> None:
        """folder: of the run; a path, or a URI such as s3://bucket/run."""
        self._folder = (place(folder) if isinstance(folder, str) else folder).absolute()

    def write(self, record: TrialRecord) -> None:
        """Put one finished trial on disk; it replaces an earlier record of the same trial."""
        if record.kind not in KINDS or record.state not in STATES:
            raise ValueError(f"no trial is of kind {record.kind!r} and state {record.state!r}")
        self._put(TRIALS, record.trial_id, to_table([record], TRIAL_SCHEMA))

    def write_epochs(self, trial_id: str, epochs: list[EpochRecord]) -> None:
        """Put all epochs of one trial on disk; they replace earlier ones of the same trial."""
        strangers = {epoch.trial_id for epoch in epochs} - {trial_id}
        if strangers:
            raise ValueError(f"epochs of {sorted(strangers)} in the part of {trial_id}")
        self._put(EPOCHS, trial_id, to_table(epochs, EPOCH_SCHEMA))

    def write_front(self, rows: list[FrontRecord]) -> None:
        """Put the front on disk, instead of an earlier one."""
        _replace(self._folder / FRONT, to_table(rows, FRONT_SCHEMA))

    def table(self) -> pa.Table:
        """Every trial so far, by trial id, with exactly the columns of `TRIAL_SCHEMA`.

        Raises InvalidInput naming a part that is damaged or from a newer version.
        """
        parts = [self._read(path) for path in self._parts(TRIALS)]
        return pa.concat_tables(parts) if parts else TRIAL_SCHEMA.empty_table()

    def rows(self) -> list[dict[str, Any]]:
        """`table` as plain Python: maps are dicts or None; [] before the first trial."""
        rows: list[dict[str, Any]] = self.table().to_pylist(maps_as_pydicts="strict")
        return rows

    def remove_leftovers(self) -> None:
        """Delete half-written parts of a writer that died; only while nobody else writes."""
        for name in (TRIALS, EPOCHS):
            for path in children(self._folder / name):
                if is_temporary(path):
                    path.unlink(missing_ok=True)

    def _put(self, name: str, trial_id: str, table: pa.Table) -> None:
        if not re.fullmatch(r"\w[\w.-]*", trial_id):
            raise ValueError(f"{trial_id!r} cannot name a part")
        _replace(self._folder / name / f"{trial_id}.parquet", table)

    def _parts(self, name: str) -> list[Place]:
        return [path for path in children(self._folder / name) if not path.name.startswith(".")]

    def _read(self, path: Place) -> pa.Table:
        try:
            return read_part(path.read_bytes(), TRIAL_SCHEMA)
        except (DamagedPart, OSError) as error:
            raise InvalidInput(
                f"{path} is damaged or not ours ({one_line(error)[:300]}): delete it and "
                "resume the run, which then measures that trial again"
            ) from error
        except NewerPart as error:
            raise InvalidInput(f"{path}: {error}; use the release that wrote it") from error


def _replace(target: Place, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write(target, sink.getvalue().to_pybytes())
