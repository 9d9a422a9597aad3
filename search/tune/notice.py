"""SIGTERM, a spot machine's or a batch system's notice: trials write checkpoints, then it ends."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from types import FrameType

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from trainables.notice import give_notice, withdraw_notice

log = logging.getLogger(__name__)

WAIT_S = 20.0
"""Seconds for the slowest trial's checkpoint: AWS gives 30 s, and the last snapshot takes some."""


class _State:
    """What this process was told, once; plain values, since a handler may not lock."""

    received = False
    in_stage = False
    given = False


def on_signal(_signal: int, _frame: FrameType | None) -> None:
    """Have the running trials write their checkpoints; without any, or when told twice, end."""
    if _State.received or not _State.in_stage:
        raise KeyboardInterrupt
    _State.received = True
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, b"SIGTERM: the running trials write their checkpoints first\n")


@contextlib.contextmanager
def checkpoints_first() -> Iterator[None]:
    """Around Tune's loop, which is to have a `LeavesOnNotice` as its scheduler.

    Raises KeyboardInterrupt when notice was given.
    """
    _State.received, _State.given, _State.in_stage = False, False, True
    try:
        yield
    finally:
        _State.in_stage = False
        if _State.given:
            withdraw_notice()
    if _State.received:
        raise KeyboardInterrupt


class LeavesOnNotice(FIFOScheduler):
    """Tune's plain order until notice, then the end of Tune's loop, as by Ctrl-C.

    It ends once every trial that ran has ended or written a checkpoint; a trial that starts in
    the meantime is not waited for.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it without types
        self._deadline: float | None = None
        self._without: dict[Trial, str | None] = {}  # running trial -> its last checkpoint before

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Tune asks in each round of its loop."""
        if not _State.received:
            return super().choose_trial_to_run(tune_controller)
        if self._deadline is None:
            self._deadline = time.monotonic() + WAIT_S
            running = [t for t in tune_controller.get_trials() if t.status == Trial.RUNNING]
            if _give():
                self._without = {trial: _checkpoint(trial) for trial in running}
        waiting = any(
            trial.status == Trial.RUNNING and _checkpoint(trial) == before
            for trial, before in self._without.items()
        )
        if not waiting or time.monotonic() > self._deadline:
            tune_controller.checkpoint(force=True, wait=True)
            raise KeyboardInterrupt
        return None


def _give() -> bool:
    """Whether the trials could be told; a signal to all processes ends Ray's head, too."""
    try:
        give_notice()
    except Exception as error:  # noqa: BLE001 - Ray's errors have no common type
        log.warning("the trials cannot be told to write checkpoints: %s", error)
        return False
    _State.given = True
    return True


def _checkpoint(trial: Trial) -> str | None:
    return None if trial.checkpoint is None else trial.checkpoint.path
