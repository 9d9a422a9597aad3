"""Copies finished trials to an Optuna storage, for optuna-dashboard and other viewers.

The mirror is never read back: the ledger can rebuild it at any time, and the search goes on when
the storage is away.
"""

import contextlib
import datetime
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from search.record.redaction import redacted
from search.record.storage_url import JOURNAL, require_storage_url
from search.space import Candidate, Space
from trainables.outcome.feasible import VIOLATIONS
from trainables.outcome.objective import LEAST_LEAK, Goal
from trainables.records import COMPLETE, FAILED, PRUNED, SEARCH_KINDS

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
"""A row of trials.parquet."""

CONNECT_TIMEOUT_S = 5
"""Seconds to connect: a search must not hang on a dashboard's database."""

SHOWN = ("trial_id", "number", "kind", "n", "feasible", "val_accuracy", "compression", "error")
"""Columns that a viewer gets as user attributes."""

_given: dict[str, str] = {}  # run id -> URL; Tune pickles callbacks, and a password is not to be
_warned: set[str] = set()  # storages that were warned of in this process
OPTUNA_STATES = {
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
}
"""A row's state -> what Optuna calls it."""

_AWAY = (  # what Optuna and SQLAlchemy raise for a storage that is gone, foreign or half-written
    SQLAlchemyError,
    StorageInternalError,
    OSError,
    ImportError,
    RuntimeError,
    json.JSONDecodeError,
)


class Mirror:
    """The study of one run in a storage, and what this process knows of it.

    A storage that is away is warned of once, without the URL's password, and costs nothing else:
    what it missed is added when it is back.
    """

    def __init__(
        self,
        study_storage_url: str,
        study_name: str,
        rows: Callable[[], Iterable[Row]],
        space: Space,
        goal: Goal = LEAST_LEAK,
    ) -> None:
        """rows: gives all rows of the run, for a storage that lacks some.

        goal: its objective is the value of a trial.

        Raises InvalidInput for a URL that names no kind of storage.
        """
        require_storage_url(study_storage_url)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._url = study_storage_url
        self._name = study_name
        self._rows = rows
        self._space = space
        self._goal = goal
        self._there: set[str] | None = None  # trials in the study; None: it is to be looked into
        self._journal: BaseStorage | None = None

    def add(self, ended: Iterable[Row]) -> int:
        """Add those of the rows that are anchors or of the search; returns how many were added.

        Where the storage was away, or was not looked into before, all that it lacks are added.
        """
        try:
            try:
                return self._add(ended)
            except KeyError:  # somebody has removed the study
                self._forget()
                return self._add(ended)
        except _AWAY as error:
            self._forget()
            _warn_once(self._url, error)
            return 0

    def _add(self, ended: Iterable[Row]) -> int:
        with self._opened() as storage:
            if self._there is None:
                study = self._made(storage)
                known = {str(one.user_attrs.get("trial_id")) for one in study.get_trials(False)}
                ended = self._rows()
            else:
                study = optuna.load_study(study_name=self._name, storage=storage)
                known = self._there
            fresh = [
                row for row in ended if row["kind"] in SEARCH_KINDS and row["trial_id"] not in known
            ]
            for row in fresh:
                study.add_trial(_frozen(row, self._space, self._goal))
                known.add(row["trial_id"])
            self._there = known
            return len(fresh)

    def _made(self, storage: BaseStorage) -> optuna.Study:
        return optuna.create_study(
            study_name=self._name,
            storage=storage,
            direction="maximize" if self._goal.maximised else "minimize",
            load_if_exists=True,
        )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BaseStorage]:
        """The storage. A journal stays open, since opening it means to read all of it."""
        if not self._url.startswith(JOURNAL):
            with opened(self._url, made=self._there is not None) as storage:
                yield storage
            return
        if not Path(self._url.removeprefix(JOURNAL)).is_file():
            self._forget()
        if self._journal is None:
            with opened(self._url) as self._journal:
                pass
        yield self._journal

    def _forget(self) -> None:
        self._there = self._journal = None


def remember(run_id: str, url: str) -> None:
    """Keep the URL of a run's mirror in this process: it may hold a password, files must not."""
    _given[run_id] = url


def remembered(run_id: str) -> str | None:
    """What `remember` was given, None in a process that was given nothing."""
    return _given.get(run_id)


@contextlib.contextmanager
def opened(url: str, *, made: bool = False) -> Iterator[BaseStorage]:
    """The storage at `url`; a database's connections are closed at the end.

    They are not kept: trials end minutes apart, and the server may restart in between.
    made: this process saw that the tables are there, and of the right version.
    """
    if url.startswith(JOURNAL):
        yield JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
        return
    arguments = {} if url.startswith("sqlite") else {"connect_timeout": CONNECT_TIMEOUT_S}
    storage = RDBStorage(
        url,
        engine_kwargs={"connect_args": arguments},
        skip_compatibility_check=made,
        skip_table_creation=made,
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _warn_once(url: str, error: BaseException) -> None:
    if url in _warned:
        return
    _warned.add(url)
    cause = redacted((str(error).splitlines() or [type(error).__name__])[0], url)
    log.warning(
        "study storage %s is away (%s): the search goes on without it; each trial that ends tries "
        "again, and nothing is lost",
        redacted(url),
        cause,
    )


def _frozen(row: Mapping[str, Any], space: Space, goal: Goal) -> FrozenTrial:
    """A row as a finished Optuna trial, its constraints in both forms.

    Optuna 5 reads one attribute per constraint; optuna-dashboard 0.21 only the older list.
    """
    bounds = {name: row[name] for name in VIOLATIONS if row[name] is not None}
    state = OPTUNA_STATES[row["state"]]
    trial = optuna.trial.create_trial(
        state=state,
        value=row[goal.objective] if state == TrialState.COMPLETE else None,
        params=space.point(Candidate.of(row["n"], row.get("defense_parameters"))),
        distributions=space.distributions(),
        user_attrs={name: row[name] for name in SHOWN},
        system_attrs={"constraints": list(bounds.values())} if bounds else {},
        constraints=bounds,
    )
    started = row["started_at"].astimezone().replace(tzinfo=None)  # Optuna's own: naive, local
    trial.datetime_start = started
    trial.datetime_complete = started + datetime.timedelta(seconds=row["duration_s"])
    return trial
