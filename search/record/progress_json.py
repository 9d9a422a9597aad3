"""Keeps RUN/progress.json: how far a run is, in a thread, so that the run waits for no disk.

What cannot be written is no reason to stop: a live page then shows less, and the run is the same.
"""

import contextlib
import dataclasses
import datetime
import logging
import threading
from collections.abc import Iterator, Mapping

from trainables import progress
from trainables.base.errors import one_line
from trainables.base.storage import Place, RemotePath, read_json, write
from trainables.progress import BEAT_S, RunProgress, StageProgress

log = logging.getLogger(__name__)

LEAST_PAUSE_S, LEAST_PAUSE_IN_A_STORE_S = 0.5, 5.0
"""Between two writes; each put in a store is paid for."""


class ProgressFile:
    """The file of one run."""

    def __init__(
        self, folder: Place, *, planned: Mapping[str, int], cpus: float, gpus: float
    ) -> None:
        """planned: kind of stage -> its models.  cpus, gpus: what each trial takes.

        The stages of an earlier program that worked on this run are taken over.
        """
        self._file = folder / progress.FILE
        self._pause_s = (
            LEAST_PAUSE_IN_A_STORE_S if isinstance(folder, RemotePath) else LEAST_PAUSE_S
        )
        self._run = RunProgress(
            updated_at=_now(),
            planned=planned,
            cpus_per_trial=cpus,
            gpus_per_trial=gpus,
            stages=self._stages_before(),
        )
        self._lock = threading.Lock()
        self._changed, self._ended = threading.Event(), threading.Event()
        self._failed = False

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Write the file while the run works, and at its end what became of it."""
        thread = threading.Thread(target=self._write_on, name="progress", daemon=True)
        thread.start()
        outcome = progress.FAULTY
        try:
            yield
            outcome = progress.FINISHED
        except KeyboardInterrupt:
            outcome = progress.INTERRUPTED
            raise
        finally:
            with self._lock:
                self._run = dataclasses.replace(self._run, outcome=outcome)
            self._ended.set()
            self._changed.set()
            thread.join(BEAT_S)  # a store that is away must not hold the run's end up

    def stage(self, name: str) -> StageProgress | None:
        """What is known of a stage, None of one that has not begun."""
        return next((one for one in self._run.stages if one.name == name), None)

    def put(self, stage: StageProgress) -> None:
        """Have a stage written soon, as the newest, instead of what was said of it before."""
        with self._lock:
            others = tuple(one for one in self._run.stages if one.name != stage.name)
            self._run = dataclasses.replace(self._run, stages=(*others, stage))
        self._changed.set()

    def plan(self, planned: Mapping[str, int]) -> None:
        """Have other numbers of models written: a run may take more of them."""
        with self._lock:
            self._run = dataclasses.replace(self._run, planned=planned)
        self._changed.set()

    def _write_on(self) -> None:
        while True:
            self._changed.clear()
            ended = self._ended.is_set()
            self._write()
            if ended:
                return
            self._ended.wait(self._pause_s)
            self._changed.wait(BEAT_S)

    def _write(self) -> None:
        with self._lock:
            self._run = dataclasses.replace(self._run, updated_at=_now())
            content = self._run.to_json()
        try:
            write(self._file, content)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("%s cannot be written: %s", self._file, one_line(error))
            self._failed = True

    def _stages_before(self) -> tuple[StageProgress, ...]:
        try:
            stages = RunProgress.from_dict(read_json(self._file)).stages
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read and begins anew: %s", self._file, one_line(error))
            return ()
        return tuple(dataclasses.replace(one, running=0) for one in stages)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
