"""The run folder: where each file lies, what config.json says, and who may use it."""

import contextlib
import datetime
import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import shlex
import stat
import uuid
from collections.abc import Iterator
from typing import Any

from search.command import command, command_of_all
from search.comparison import Comparison
from search.search_options import SearchConfig
from trainables.base.commandline import resume, shown
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, RemotePath, children, is_temporary, read_json, write
from trainables.records import COMPARISON, DEFENCES, ENDED

log = logging.getLogger(__name__)

VERSION = 1
"""Version of the folder's layout; a folder of another version is refused, not guessed at."""

PACKAGES = ("ray", "torch", "torchvision", "optuna", "pyarrow", "pandas", "scikit-learn", "numpy")


class RunFolder:
    """Paths of one run, on a disk or in an object store."""

    def __init__(self, path: Place) -> None:
        self.path = path.absolute()  # Tune's workers have another working directory
        self.config = self.path / "config.json"
        self.baseline = self.path / "baseline"
        self.winner = self.path / "winner"
        self.front = self.path / "front"
        self.audit = self.path / "audit"
        self.confirm = self.path / "confirm"
        self.tune = self.path / "tune"
        self.defenses = self.path / DEFENCES  # of a comparison: its runs,
        self.dense = self.path / "dense"  # and what they share while any is to be made
        self.log = self.path / "run.log"

    def check(self) -> None:
        """Raise InvalidInput when the folder holds a run or anything else; writes nothing."""
        if self.config.exists():
            raise InvalidInput(
                f"--out {shown(self.path)} already holds a run: continue it with "
                f"`{resume(self.path)}`, or choose another folder"
            )
        if self.path.is_file() or not all(map(is_temporary, children(self.path))):
            raise InvalidInput(f"--out {self.path} is not an empty folder: choose another")

    def create(self) -> None:
        """Make the folder. Raises InvalidInput when it is in use or cannot be written."""
        self.check()
        try:
            if not isinstance(self.path, RemotePath):
                self.path.mkdir(parents=True, exist_ok=True)
                self.path.chmod(0o700)  # membership results are about people
            self._try_to_write()
            owner = None if isinstance(self.path, RemotePath) else self.path.stat().st_uid
        except OSError as error:
            raise InvalidInput(
                f"--out {self.path} cannot be written ({_cause(error)}): choose another folder"
            ) from error
        if owner not in (None, os.geteuid()):
            raise InvalidInput(
                f"--out {self.path} belongs to user {owner}, who could plant code there: choose "
                "another folder"
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other program from writing this run; the system lets go when this one dies.

        Raises InvalidInput when one writes it now. An object store has no such locks.
        """
        if isinstance(self.path, RemotePath):
            yield
            return
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InvalidInput(
                    f"--resume {self.path}: another program is writing this run now: wait for its "
                    "end, or stop it"
                ) from error
            except OSError as error:
                log.warning("%s has no locks (%s): let no other program write it", self.path, error)
            yield

    def require_own(self) -> None:
        """Raise InvalidInput where another user could have written what a resume loads.

        Ray Tune's state is pickled, and a pickle runs the code of whoever wrote it. A folder that
        only its owner can enter, as `create` makes it, is his whatever the modes in it say.
        In an object store the bucket's policy says who can write, not a mode.
        """
        if isinstance(self.path, RemotePath):
            return
        others = stat.S_IWGRP | stat.S_IWOTH
        closed = not self.path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        tune = self.path / "tune"
        for path in (self.path, self.path / "config.json", tune, *tune.rglob("*")):
            if not path.exists() and not path.is_symlink():
                continue
            found = path.lstat()
            if found.st_uid != os.geteuid():
                raise InvalidInput(
                    f"--resume {self.path}: {path} belongs to user {found.st_uid}, not to you, and "
                    "could run that user's code: resume it as that user"
                )
            if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
                raise InvalidInput(
                    f"--resume {self.path}: {path} leads out of the run: replace the link by what "
                    "it stands for, if you trust that"
                )
            if not closed and not path.is_symlink() and found.st_mode & others:
                raise InvalidInput(
                    f"--resume {self.path}: others may write {path} and so run code as you: if you "
                    f"trust what is there, `chmod -R go-w {shlex.quote(shown(self.path))}` and "
                    f"`{resume(self.path)}`"
                )

    def require_writable(self) -> None:
        """Raise InvalidInput when a run that is to go on cannot write its folder."""
        try:
            self._try_to_write()
        except OSError as error:
            raise InvalidInput(
                f"--resume {self.path} cannot be written ({_cause(error)}): make it writable, or "
                "copy the run to where it is"
            ) from error

    def remove_leftovers(self) -> None:
        """Delete half-written files of a program that died; only while nobody else writes."""
        fronts = children(self.front)
        for folder in (self.path, self.baseline, self.winner, self.audit, *fronts):
            for file in filter(is_temporary, children(folder)):
                file.unlink(missing_ok=True)

    def _try_to_write(self) -> None:
        probe = self.path / f".probe.{uuid.uuid4().hex}.tmp"
        if isinstance(probe, RemotePath):
            probe.put(b"?")  # once: a wrong bucket is not to be waited for
        else:
            probe.write_bytes(b"?")
        probe.unlink()

    def write_config(self, values: dict[str, Any]) -> None:
        """Replace config.json in one step."""
        write(self.config, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def read_config(self) -> dict[str, Any]:
        """What config.json says. Raises InvalidInput for no run, or another version's."""
        try:
            there = self.path.is_dir()
        except (OSError, ValueError) as error:  # a name too long, or with a zero byte
            raise InvalidInput(f"--resume {self.path}: {one_line(error)}") from error
        if not there:
            raise InvalidInput(f"--resume {self.path}: there is no such folder")
        if not self.config.is_file():
            raise InvalidInput(f"--resume {self.path} is not a run: it has no config.json")
        try:
            values = read_json(self.config)
            version = values["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"--resume {self.path}: config.json cannot be read ({one_line(error)}); restore "
                "the file or start a new run"
            ) from error
        if version != VERSION:
            raise InvalidInput(
                f"--resume {self.path} was written by layout version {version!r}, this program "
                f"writes {VERSION}: resume it with the release that wrote it"
            )
        return dict(values)


def require_whole(values: dict[str, Any]) -> None:
    """Raise InvalidInput when config.json lacks what a resume needs."""
    kinds = {"run_id": str, "search": dict, "options": dict, "split_hashes": dict}
    for name, kind in kinds.items():
        if not isinstance(values.get(name), kind):
            raise InvalidInput(
                f"--resume: config.json lacks {name}, or holds another kind of value; restore the "
                "file or start a new run"
            )


def _cause(error: OSError) -> str:
    """One line; a store's own words where the system has none."""
    return error.strerror or " ".join(str(error).split())


def describe(
    config: SearchConfig, run_id: str, options: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """The content of config.json at the start of a run.

    options: what was asked of the machine.  data: hashes of splits and images, sizes, layers.
    """
    return {
        **_begun(run_id, command(config, options), config.key, config.seed),
        "search": config.to_dict(),
        "options": options,
        "dense_val_accuracy": None,
        **data,
    }


def describe_comparison(
    comparison: Comparison, run_id: str, options: dict[str, Any]
) -> dict[str, Any]:
    """The content of config.json in the folder above the runs of a comparison."""
    asked = command_of_all(comparison, options)
    return {
        **_begun(run_id, asked, comparison.key, comparison.runs[0].seed),
        COMPARISON: comparison.to_dict(),
        ENDED: {},
        "options": options,
    }


def _begun(run_id: str, asked: str, key: str, seed: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "run_id": run_id,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": asked,
        "config_hash": key,
        "seeds": {"run": seed},
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "hardware": {
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }
