"""Writes what was measured to parquet, so that a trial is there whole or not, and once.

trials.parquet and epochs.parquet are folders of parts (search/record/parts.py). Writing a trial
costs the same however many there are, and writing it again replaces it. front.parquet is one file,
written at a run's end.
"""

import re
from typing import Any

import pyarrow as pa

from search.record.parts import Parts, serialised
from trainables.base.storage import Place, children, is_temporary, place, write
from trainables.records import (
    EPOCH_SCHEMA,
    FRONT_SCHEMA,
    KINDS,
    STATES,
    TRIAL_SCHEMA,
    EpochRecord,
    FrontRecord,
    TrialRecord,
    to_table,
)

TRIALS, EPOCHS, FRONT = "trials.parquet", "epochs.parquet", "front.parquet"


class Ledger:
    """The parquet folders of one run, on a disk or in an object store."""

    def __init__(self, folder: str | Place) -> None:
        """folder: of the run; a path, or a URI such as s3://bucket/run."""
        self._folder = (place(folder) if isinstance(folder, str) else folder).absolute()
        self._parts = {
            TRIALS: Parts(self._folder / TRIALS, TRIAL_SCHEMA),
            EPOCHS: Parts(self._folder / EPOCHS, EPOCH_SCHEMA),
        }

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
        write(self._folder / FRONT, serialised(to_table(rows, FRONT_SCHEMA)))

    def table(self) -> pa.Table:
        """Every trial so far, by trial id, with exactly the columns of `TRIAL_SCHEMA`.

        Raises InvalidInput naming a part that is damaged or from a newer version.
        """
        return self._parts[TRIALS].table()

    def rows(self) -> list[dict[str, Any]]:
        """`table` as plain Python: maps are dicts or None; [] before the first trial."""
        rows: list[dict[str, Any]] = self.table().to_pylist(maps_as_pydicts="strict")
        return rows

    def epochs(self) -> dict[str, list[dict[str, Any]]]:
        """Trial id -> its epochs as plain Python; as `table`, of epochs.parquet."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._parts[EPOCHS].table().to_pylist():
            found.setdefault(row["trial_id"], []).append(row)
        return found

    def remove_leftovers(self) -> None:
        """Delete half-written parts of a writer that died; only while nobody else writes."""
        for name in (TRIALS, EPOCHS):
            for path in children(self._folder / name):
                if is_temporary(path):
                    path.unlink(missing_ok=True)

    def _put(self, name: str, trial_id: str, table: pa.Table) -> None:
        if not re.fullmatch(r"\w[\w.-]*", trial_id):
            raise ValueError(f"{trial_id!r} cannot name a trial")
        self._parts[name].put(trial_id, table)
