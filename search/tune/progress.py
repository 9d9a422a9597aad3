"""The live view of a stage: trials done, feasible share, the best feasible one, time left."""

import time
from collections.abc import Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from search.record.trials_parquet import Ledger
from trainables.job import job_of
from trainables.outcome.feasible import is_feasible
from trainables.outcome.objective import LEAST_LEAK, Goal
from trainables.outcome.winner import winner
from trainables.records import SEARCH_KINDS

Row = Mapping[str, Any]


class LiveView(Callback):
    """A progress bar on a terminal, a line per finished trial elsewhere, nothing when quiet."""

    def __init__(
        self,
        title: str,
        total: int,
        *,
        quiet: bool,
        ledger: Ledger | None,
        goal: Goal = LEAST_LEAK,
    ) -> None:
        """ledger: the search's rows, for the feasible share; None for stages without one.

        goal: decides which feasible trial is the best.
        """
        self._goal = goal
        self._title = title
        self._total = total
        self._quiet = quiet
        self._ledger = ledger
        self._done: dict[str, Row | None] = {}  # of a feasible trial what it reached, else None
        self._progress: Progress | None = None
        self._shown = False

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles callbacks; the terminal stays behind."""
        return {**self.__dict__, "_progress": None, "_done": {}, "_shown": False}

    def setup(self, *args: Any, **info: Any) -> None:
        """Tune calls this when the stage starts, and again when it is resumed."""
        if self._ledger is not None:
            for row in self._ledger.rows():
                if row["kind"] in SEARCH_KINDS:
                    self._done[row["trial_id"]] = self._reached(row) if row["feasible"] else None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune's first step: now its trials are those that it restored, if any."""
        self._show(trials)

    def _show(self, trials: list[Any]) -> None:
        """Draw the bar, once, from what was finished before."""
        if self._shown:
            return
        self._shown = True
        for trial in trials:
            if trial.status == Trial.TERMINATED:
                self._done.setdefault(_trial_id(trial), self._outcome(trial.last_result or {}))
        self._began, self._before = time.monotonic(), len(self._done)
        if self._quiet:
            return
        console = Console(stderr=True)
        if not console.is_terminal:
            console.print(f"{self._title}: {len(self._done)}/{self._total}", highlight=False)
            return
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task(
            self._title, total=self._total, completed=len(self._done), status=self._status()
        )
        self._progress.start()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Count a trial that finished or was stopped."""
        self._count(trial, self._outcome(trial.last_result or {}))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Count a trial that failed."""
        self._count(trial, None)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Leave the finished bar on the screen; of a stage that was all done it is the only one."""
        self._show(trials)
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _count(self, trial: Any, outcome: Row | None) -> None:
        trial_id = _trial_id(trial)
        self._done[trial_id] = outcome
        if self._progress is not None:
            self._progress.update(self._task, completed=len(self._done), status=self._status())
        elif not self._quiet:
            line = f"{self._title}: {len(self._done)}/{self._total}  {trial_id}  {self._status()}"
            Console(stderr=True).print(line, highlight=False, soft_wrap=True)

    def _outcome(self, result: Row) -> Row | None:
        """What a trial reached by its last report; None unless it is feasible."""
        return self._reached(result) if is_feasible(result) else None

    def _reached(self, row: Row) -> Row | None:
        """The objective alone; None where it was not measured."""
        value = row.get(self._goal.objective)
        return None if value is None else {self._goal.objective: value}

    def _status(self) -> str:
        parts = []
        if self._ledger is not None and self._done:
            feasible = [row for row in self._done.values() if row is not None]
            parts.append(f"feasible {len(feasible) / len(self._done):.0%}")
            best = winner(feasible, self._goal)
            parts.append(f"best {self._goal.in_words(best or {})}")
        new = len(self._done) - self._before
        if new:
            left = (time.monotonic() - self._began) / new * max(self._total - len(self._done), 0)
            parts.append(f"about {_duration(left)} left")
        return " · ".join(parts)


def _trial_id(trial: Any) -> str:
    return job_of(trial.config).trial.trial_id


def _duration(seconds: float) -> str:
    """Seconds in the words of a person.

    >>> _duration(95), _duration(4000)
    ('1m 35s', '1h 06m')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
