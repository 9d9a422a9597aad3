"""Gives a stage that one run has finished to another run, as if that one had run it."""

import fnmatch
import os
import shutil
import uuid
from pathlib import Path

from search.tune.resume import SNAPSHOT, has_snapshot
from trainables.base.storage import Place, children, remove_tree, write

CHECKPOINT = "checkpoint_*"
"""Folders that Tune writes once and never changes, which a disk need not hold twice."""


def copy_stage(source: Place, target: Place) -> None:
    """Copy a stage's folder; nothing is done where the target's own can be restored.

    A program that is killed meanwhile leaves nothing that could be restored.
    """
    if has_snapshot(target):
        return
    remove_tree(target)
    if not (isinstance(source, Path) and isinstance(target, Path)):
        _copy_objects(source, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        remove_tree(left)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    shutil.copytree(source, beside, copy_function=_copy_file)
    beside.rename(target)


def _copy_file(source: str, target: str) -> None:
    if fnmatch.fnmatch(Path(source).parent.name, CHECKPOINT):
        try:
            os.link(source, target)
        except OSError:  # another disk, or one without links
            pass
        else:
            return
    shutil.copy2(source, target)


def _copy_objects(source: Place, target: Place) -> None:
    """The snapshot comes last: without it the stage begins anew."""
    last = []
    for child in children(source):
        if child.is_dir():
            _copy_objects(child, target / child.name)
        elif fnmatch.fnmatch(child.name, SNAPSHOT):
            last.append(child)
        else:
            write(target / child.name, child.read_bytes())
    for child in last:
        write(target / child.name, child.read_bytes())
