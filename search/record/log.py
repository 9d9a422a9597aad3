"""The log of a run, and of what went wrong before there was a run."""

import contextlib
import functools
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from search.record.redaction import redacted
from search.record.runfolder import RunFolder
from trainables.base.errors import one_line
from trainables.base.storage import Place, RemotePath, write

log = logging.getLogger("search")


def quiet_root_logger() -> None:
    """Undo Opacus, which sends every logger's INFO to stderr when it is imported."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(logging.WARNING)


@contextlib.contextmanager
def logging_to(place: Place) -> Iterator[None]:
    """Log to `place`; a store gets the log at the end, since nothing can be added to an object."""
    path = place if isinstance(place, Path) else _local_log()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, rays = logging.getLogger(), logging.getLogger("ray")
    root.addHandler(handler)
    rays.handlers.clear()  # it writes every failed trial's traceback to the terminal
    rays.propagate = True
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        if isinstance(place, RemotePath):
            _append(place, path)


def _append(place: RemotePath, path: Path) -> None:
    """Add a local log to the store's; where that is away, the log stays here."""
    try:
        before = place.read_bytes() if place.exists() else b""
        write(place, before + path.read_bytes())
    except OSError as error:
        sys.stderr.write(f"The log could not be added to {place} ({one_line(error)}): {path}\n")
    else:
        path.unlink()


def write_fault(folder: RunFolder | None) -> Path:
    """Add the traceback to the run's log, or to a file of its own where that cannot be written."""
    if folder is not None and isinstance(folder.log, Path) and folder.log.exists():
        with contextlib.suppress(OSError), folder.log.open("a", encoding="utf-8") as log_file:
            log_file.write(redacted(traceback.format_exc()))
            return folder.log
    path = _local_log()
    path.write_text(redacted(traceback.format_exc()), encoding="utf-8")
    return path


@functools.cache
def _local_log() -> Path:
    """A new file that only its owner can read."""
    descriptor, name = tempfile.mkstemp(prefix="search-run-", suffix=".log")
    os.close(descriptor)
    return Path(name)
