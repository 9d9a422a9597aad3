"""MLflow: a parent run, and a child run of it per vector, on a tracking server.

Ray's own callback knows no parent and begins every run again after a resume, so this is the
library's client.  An unfinished child is gone on with: what is logged of it twice has the same
values at the same times, which a server keeps once.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from search.track.facts import FEASIBLE, choices, curves, figures, tags
from search.track.protocol import Outcome, Row, TrackedRun
from trainables.records import FAILED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "prune-privacy"
"""Where MLFLOW_EXPERIMENT_NAME names no other."""

TIMEOUT_S, RETRIES = 10, 2
"""Of a request during a run."""

KNOCK_S = 5
"""Of the one request before a run."""

LONGEST = 6000
"""Characters of a parameter, and less than those of a tag, that a server takes."""

METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100
"""What a server takes in one request."""

_KEY, _PARENT = "prune_privacy.run", "mlflow.parentRunId"
_ENDED = ("FINISHED", "FAILED")


def require_server(address: str) -> None:
    """Raise the client's error unless a tracking server answers at the address."""
    client = _client(address, timeout_s=KNOCK_S, retries=0)
    client.search_experiments(max_results=1)


def _client(address: str, *, timeout_s: int, retries: int) -> "MlflowClient":
    """A client with patience of its own.

    It gets a login by its variables alone: the address it prints and quotes.
    """
    parts = urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    if login:
        user, colon, password = login.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
        if colon:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(timeout_s)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # a line per vector
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # who measures leaks sends nothing
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=urlunsplit(parts._replace(netloc=host)))


class MLflowRuns:
    """The runs of one search on a server."""

    def __init__(self, address: str) -> None:
        self._client = _client(address, timeout_s=TIMEOUT_S, retries=RETRIES)
        self._experiment = ""
        self._parent = ""
        self._children: dict[str, str] = {}  # trial id -> MLflow's id

    def start(self, run: TrackedRun) -> Mapping[str, str]:
        """The parent is found again by a tag."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        there = self._client.get_experiment_by_name(name)
        self._experiment = (
            self._client.create_experiment(name) if there is None else there.experiment_id
        )
        parent = next(self._found(_KEY, run.key), None)
        if parent is None:
            parent = self._client.create_run(
                self._experiment, tags={_KEY: run.key}, run_name=run.name
            )
        self._parent = parent.info.run_id
        self._client.update_run(self._parent, status="RUNNING")
        if not parent.data.params:
            self._log(self._parent, params=run.settings)
        children = {child.data.tags["trial_id"]: child for child in self._found(_PARENT)}
        self._children = {trial_id: child.info.run_id for trial_id, child in children.items()}
        return {
            trial_id: child.data.tags["state"]
            for trial_id, child in children.items()
            if child.info.status in _ENDED
        }

    def vector(self, row: Row, epochs: Sequence[Row]) -> None:
        """Ended only when all of it is there."""
        trial_id, began = row["trial_id"], int(1000 * row["started_at"].timestamp())
        ended = began + int(1000 * row["duration_s"])
        if trial_id not in self._children:
            child = self._client.create_run(
                self._experiment,
                start_time=began,
                tags={_PARENT: self._parent, "trial_id": trial_id},
                run_name=trial_id,
            )
            self._children[trial_id] = child.info.run_id
        measured = [(name, 0, value) for name, value in figures(row).items()]
        self._log(
            self._children[trial_id],
            metrics=[*curves(epochs), *measured],
            timestamp=ended,
            params=choices(row),
            tags=tags(row),
        )
        self._client.set_terminated(
            self._children[trial_id],
            status="FAILED" if row["state"] == FAILED else "FINISHED",
            end_time=ended,
        )

    def winner(self, outcome: Outcome) -> None:
        """The files go where the server keeps artifacts."""
        for trial_id, verdict in outcome.verdicts.items():
            self._client.set_tag(self._children[trial_id], FEASIBLE, verdict)
        self._client.set_tag(self._parent, "winner", str(outcome.winner))
        for name, value in outcome.figures.items():
            self._client.log_metric(self._parent, name, value)
        with tempfile.TemporaryDirectory() as folder:
            for file in outcome.files:
                copy = Path(folder) / file.name
                copy.write_bytes(file.read_bytes())
                self._client.log_artifact(self._parent, str(copy), "winner")

    def close(self, *, finished: bool) -> None:
        """A run that was interrupted reads KILLED until it goes on."""
        self._client.set_terminated(self._parent, status="FINISHED" if finished else "KILLED")

    def _found(self, tag: str, value: str | None = None) -> "Iterator[Run]":
        """Runs of the experiment with this tag; of the parent, without a value."""
        asked = f"tags.`{tag}` = '{self._parent if value is None else value}'"
        token: str | None = None
        while True:
            page = self._client.search_runs([self._experiment], asked, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _log(
        self,
        run_id: str,
        *,
        metrics: Iterable[tuple[str, int, float]] = (),
        timestamp: int = 0,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = [
            Metric(key=name, value=value, timestamp=timestamp, step=step)
            for name, step, value in metrics
        ]
        given = [Param(name, str(one)[:LONGEST]) for name, one in (params or {}).items()]
        told = [RunTag(name, text[:LONGEST]) for name, text in (tags or {}).items()]
        for first in range(0, len(points), METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=points[first : first + METRICS_AT_ONCE])
        for first in range(0, len(given), PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=given[first : first + PARAMS_AT_ONCE])
        if told:
            self._client.log_batch(run_id, tags=told)
