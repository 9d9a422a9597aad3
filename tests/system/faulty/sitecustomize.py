"""Makes trials misbehave: a process with this folder on its PYTHONPATH reads PLANTED_FAULTS.

A JSON dict of trial id -> fault. Each worker of Ray starts as a process of its own, so a fault
cannot be planted by patching in the test.
"""

import ctypes
import datetime as real
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace


def plant(trial_module: ModuleType) -> None:
    """Let the runs that `trainables.trial` makes misbehave in an epoch, most in their second."""
    faults = json.loads(os.environ["PLANTED_FAULTS"])
    if "killed once" in faults.values():
        trial_module.CHECKPOINT_EVERY_S = 0.0  # trials this short would leave no checkpoint
    make = trial_module.new_run

    def new_run(config, cohort, start):
        run = make(config, cohort, start)
        fault = faults.get(config.trial_id)
        advance = run.advance

        def misbehave():
            with (Path(os.environ["PLANTED_MARKS"]) / f"{config.trial_id}.epochs").open("a") as log:
                log.write(f"{run.epochs}\n")
            if run.epochs == (fault not in IN_FIRST_EPOCH):
                FAULTS[fault](run, config.trial_id)
            return advance()

        if fault == "killed at start":
            _killed_once(run, config.trial_id)
        if fault == "clock":
            trial_module.datetime = SimpleNamespace(datetime=Behind, UTC=real.UTC)
        elif fault:
            run.advance = misbehave
        return run

    trial_module.new_run = new_run


class Behind(real.datetime):
    """The clock of a machine that is an hour behind."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) - real.timedelta(hours=1)


def _raise(run, trial_id):
    raise ValueError("planted: this trial raises")


def _not_a_number(run, trial_id):
    for parameter in run.model.parameters():
        parameter.data.fill_(float("nan"))


def _hang(run, trial_id):
    ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock held


def _killed(run, trial_id):
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel and Ray end what takes all memory


def _killed_once(run, trial_id):
    mark = Path(os.environ["PLANTED_MARKS"]) / trial_id
    if not mark.exists():
        mark.touch()
        _killed(run, trial_id)


def _wait_for_notice(run, trial_id):
    from trainables import notice

    hears = notice.Notice()  # as the trial does, and no earlier
    while not hears.given and not (Path(os.environ["PLANTED_MARKS"]) / "let-go").exists():
        time.sleep(0.1)
    time.sleep(2 * notice.POLL_S)  # until the trial has heard it too


def _leak(run, trial_id):
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 64)
        time.sleep(0.02)


IN_FIRST_EPOCH = ("waits",)

FAULTS = {
    "waits": _wait_for_notice,
    "leaks": _leak,
    "raises": _raise,
    "nan": _not_a_number,
    "hangs": _hang,
    "killed": _killed,
    "killed once": _killed_once,
    "killed at start": lambda run, trial_id: None,  # before its first epoch
}


class Planter(importlib.abc.MetaPathFinder):
    """Plants the faults right after `trainables.trial` was loaded."""

    def find_spec(self, name, path, target=None):
        if name != "trainables.trial":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            plant(module)

        spec.loader.exec_module = exec_module
        return spec


if "PLANTED_FAULTS" in os.environ:
    sys.meta_path.insert(0, Planter())
