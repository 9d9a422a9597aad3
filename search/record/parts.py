"""A table kept as parquet parts of some hundred trials each: a row is in one part at every moment.

Whoever reads the folder takes every part that is there, so parts cannot be joined afterwards: for a
moment a row would be in two of them, or in none. Instead the part that a writer has begun is
replaced, with each trial that ends, by the same part with one trial more, until it is full. That is
one step (`trainables.base.storage.write`: a rename on a disk, a put in a store), so a crash leaves
the old part or the new one, and a row never moves.

One process writes (the run folder's lock sees to it), through as many objects as it likes.
"""

import collections
import dataclasses
import threading
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, Version, version_of, versions, write
from trainables.records import DamagedPart, NewerPart, read_part

TRIALS_IN_A_PART = 256
"""A full part holds so many trials. More make fewer files, and each ended trial writes more."""

_LOCKS: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)
"""Folder -> the lock of all objects of this process that know it."""

TRIAL_ID = "trial_id"
"""The column that says which trial a row is of."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """What one file holds."""

    version: Version
    table: pa.Table
    trials: frozenset[str]

    @classmethod
    def of(cls, version: Version, table: pa.Table) -> "_Part":
        return cls(version=version, table=table, trials=frozenset(table[TRIAL_ID].to_pylist()))


class Parts:
    """The parts of one table, those that were read or written here kept in memory."""

    def __init__(self, folder: Place, schema: pa.Schema) -> None:
        """schema: has a column `TRIAL_ID`; a part of an older version is read as if it had it."""
        self._folder = folder
        self._schema = schema
        self._parts: dict[str, _Part] = {}  # by name, as they were when last looked at
        self._begun: str | None = None  # the part that this object fills

    def __reduce__(self) -> tuple[type["Parts"], tuple[Place, pa.Schema]]:
        """Pickle the folder alone: a copy reads the disk itself and begins its own part."""
        return Parts, (self._folder, self._schema)

    def put(self, trial_id: str, rows: pa.Table) -> None:
        """Put all rows of a trial on disk, instead of earlier ones of the same trial."""
        with _LOCKS[str(self._folder)]:
            self._look()
            name = self._part_of(trial_id)
            part = self._parts.get(name)
            others = self._schema.empty_table() if part is None else _without(part, trial_id)
            table = pa.concat_tables([others, rows]).combine_chunks()
            write(self._folder / name, serialised(table))
            self._parts[name] = _Part.of(version_of(self._folder / name), table)

    def table(self) -> pa.Table:
        """All rows, by trial id; those of one trial as they were put.

        Raises InvalidInput naming a part that is damaged or from a newer version.
        """
        with _LOCKS[str(self._folder)]:
            damage = self._look()
            tables = [part.table for part in self._parts.values()]
        if damage is not None:
            raise damage
        whole = pa.concat_tables([self._schema.empty_table(), *tables])
        return whole.take(pc.sort_indices(whole, sort_keys=[(TRIAL_ID, "ascending")]))

    def _look(self) -> InvalidInput | None:
        """Read the parts that are new or have changed; returns the fault of the first bad one.

        Its rows are unknown then, which is no reason not to write others.
        """
        found, damage = {}, None
        for name, version in sorted(versions(self._folder).items()):
            known = self._parts.get(name)
            if name.startswith("."):  # being written, or left by a writer that died
                continue
            if known is not None and known.version == version:
                found[name] = known
                continue
            try:
                found[name] = _Part.of(version, self._read(self._folder / name))
            except InvalidInput as error:
                damage = damage or error
        self._parts = found
        return damage

    def _part_of(self, trial_id: str) -> str:
        """The name of the part that holds a trial, or that is to take it up."""
        for name, part in self._parts.items():
            if trial_id in part.trials:
                return name
        begun = self._parts.get(self._begun or "")
        if self._begun is None or begun is None or len(begun.trials) >= TRIALS_IN_A_PART:
            self._begun = f"part-{len(self._parts):05d}-{uuid.uuid4().hex[:8]}.parquet"
        return self._begun

    def _read(self, path: Place) -> pa.Table:
        try:
            return read_part(path.read_bytes(), self._schema)
        except (DamagedPart, OSError) as error:
            raise InvalidInput(
                f"{path} is damaged or not ours ({one_line(error)[:300]}): delete it and "
                "resume the run, which writes the rows of finished trials again"
            ) from error
        except NewerPart as error:
            raise InvalidInput(f"{path}: {error}; use the release that wrote it") from error


def _without(part: _Part, trial_id: str) -> pa.Table:
    if trial_id not in part.trials:
        return part.table
    return part.table.filter(pc.field(TRIAL_ID) != trial_id)


def serialised(table: pa.Table) -> bytes:
    """A table as a parquet file with checksums, in one row group."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue())
