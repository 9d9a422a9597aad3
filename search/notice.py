"""SIGTERM, a spot machine's or a batch system's notice: trials write checkpoints, then it ends."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from types import FrameType

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from trainables.notice import give_notice, withdraw_notice

WAIT_S = 20.0
"""For the slowest trial's checkpoint: a notice is of 30 s, and the last snapshot takes some."""

_received, _in_stage = threading.Event(), threading.Event()  # a process gets its signals once


def on_signal(_signal: int, _frame: FrameType | None) -> None:
    """Have the running trials write their checkpoints; without any, or when told twice, end."""
    if _received.is_set() or not _in_stage.is_set():
        raise KeyboardInterrupt
    _received.set()
    os.write(2, b"SIGTERM: the running trials write their checkpoints first\n")


@contextlib.contextmanager
def checkpoints_first() -> Iterator[None]:
    """Around Tune's loop, which is to have a `LeavesOnNotice` as its scheduler.

    Raises KeyboardInterrupt when notice was given.
    """
    _received.clear()
    _in_stage.set()
    try:
        yield
    finally:
        _in_stage.clear()
        withdraw_notice()
    if _received.is_set():
        raise KeyboardInterrupt


class LeavesOnNotice(FIFOScheduler):
    """Tune's plain order until notice, then the end of Tune's loop, as by Ctrl-C.

    It ends once every trial that ran has ended or written a checkpoint.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._deadline: float | None = None
        self._without: dict[Trial, str | None] = {}  # running trial -> its last checkpoint before

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Tune asks in each round of its loop."""
        if not _received.is_set():
            return super().choose_trial_to_run(tune_controller)
        if self._deadline is None:
            self._deadline = time.monotonic() + WAIT_S
            running = [t for t in tune_controller.get_trials() if t.status == Trial.RUNNING]
            self._without = {trial: _checkpoint(trial) for trial in running}
            give_notice()
        waiting = any(
            trial.status == Trial.RUNNING and _checkpoint(trial) == before
            for trial, before in self._without.items()
        )
        if not waiting or time.monotonic() > self._deadline:
            tune_controller.checkpoint(force=True, wait=True)
            raise KeyboardInterrupt
        return None


def _checkpoint(trial: Trial) -> str | None:
    return None if trial.checkpoint is None else trial.checkpoint.path
