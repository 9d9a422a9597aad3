"""Tune callback: every trial that ends becomes one row of trials.parquet and its epochs."""

import dataclasses
import datetime
import logging
from typing import Any

from ray.tune import Callback

from search.record.live_mirror import LiveMirror
from search.record.mirror import Mirror, remembered
from search.record.trials_parquet import Ledger
from search.space import Space
from search.track.follower import followed
from search.tune.cause import cause
from search.tune.stopping import reason
from trainables.job import Job, job_of
from trainables.outcome.feasible import VIOLATIONS, is_feasible, state_of
from trainables.outcome.objective import Goal
from trainables.records import COMPLETE, FAILED, MEASURED, PRUNED, EpochRecord, TrialRecord

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """The columns that every row of a run shares."""

    run_id: str
    sampler: str
    layer_names: tuple[str, ...]
    layer_weights: tuple[int, ...]


def to_record(
    identity: RunIdentity, job: Job, result: dict[str, Any], error: str | None = None
) -> TrialRecord:
    """The row of a trial that ended with `result`, its last report; empty if it never reported."""
    trial = job.trial
    error = error or result.get("trial_error")
    state, feasible = state_of(result, error), is_feasible(result, error)
    measured: dict[str, Any] = {}
    if state == COMPLETE:
        measured = {key: result.get(key) for key in MEASURED}
    if state == PRUNED:
        measured["val_accuracy"] = result.get("val_accuracy")
        error = result.get("error") or reason(result)  # a row that is on disk brings its own
    violations: dict[str, Any] = {
        name: None if state == FAILED else result.get(name) for name in VIOLATIONS
    }
    started = result.get("started_at")
    return TrialRecord(
        run_id=identity.run_id,
        trial_id=trial.trial_id,
        number=trial.number,
        kind=trial.kind,
        state=state,
        feasible=feasible,
        seed=trial.seed,
        dataset=trial.dataset,
        model=trial.model,
        defense=trial.defense,
        sampler=identity.sampler,
        started_at=(
            datetime.datetime.fromisoformat(started)
            if started
            else datetime.datetime.now(datetime.UTC)
        ),
        duration_s=float(result.get("duration_s", 0.0)),
        node=str(result.get("node", "")),
        device=str(result.get("device", "")),
        layer_names=list(identity.layer_names),
        layer_weights=list(identity.layer_weights),
        n=list(trial.n) or list(identity.layer_weights),
        weights=sum(identity.layer_weights),
        epochs=int(result.get("epochs", 0)),
        images_seen=int(result.get("images_seen", 0)),
        error=error,
        pruner=trial.pruner,
        defense_parameters=dict(trial.parameters),
        parameters=result.get("parameters"),
        **violations,
        **measured,
    )


def _slimmed(trial: Any) -> None:
    """Take out of all later snapshots of Tune what nobody reads of a trial that has ended.

    Its epochs are on disk now.  Of every number that it reported Tune keeps six statistics.
    """
    told = trial.run_metadata
    for checkpoint in told.checkpoint_manager.best_checkpoint_results:
        checkpoint.metrics.pop("history", None)
    # not in place: Tune would write the old ones
    reported = trial.last_result or {}
    told.last_result = {name: one for name, one in reported.items() if name != "history"}
    told.metric_analysis, told.metric_n_steps = {}, {}


class Recorder(Callback):
    """Writes the ledger; holds only what pickles, since Tune saves its callbacks for a restore."""

    def __init__(
        self,
        ledger: Ledger,
        identity: RunIdentity,
        space: Space | None = None,
        goal: Goal | None = None,
    ) -> None:
        """goal: copy every row, with its objective, to the storage that this process remembers."""
        self._ledger = ledger
        self._identity = identity
        self._space = space
        self._goal = goal
        self._mirror: LiveMirror | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles callbacks; a mirror is of one process."""
        return {**self.__dict__, "_mirror": None}

    def setup(self, *args: Any, **info: Any) -> None:
        """Tune calls this when the stage starts, and again when it is resumed."""
        url = remembered(self._identity.run_id)
        if self._mirror is None and self._space and self._goal and url is not None:
            mirror = Mirror(url, self._identity.run_id, self._ledger.rows, self._space, self._goal)
            self._mirror = LiveMirror(mirror)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial finished its budget or was stopped."""
        self._write(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial failed for good, all retries used."""
        self._write(trial, cause(trial.get_error()))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Rows of finished trials that somebody removed are written again, as Tune remembers them.

        The mirror is whole when the stage is; one that was away gets its last chance.
        """
        there = set(self._ledger.table()["trial_id"].to_pylist()) if trials else set()
        for trial in trials:
            ended = bool((trial.last_result or {}).get("done"))
            if ended and job_of(trial.config).trial.trial_id not in there:
                self._write(trial, None)
        if self._mirror is not None:
            self._mirror.finish()

    def _write(self, trial: Any, error: str | None) -> None:
        result = trial.last_result or {}
        record = to_record(self._identity, job_of(trial.config), result, error)
        history = [EpochRecord(**epoch) for epoch in result.get("history", [])]
        if history:
            self._ledger.write_epochs(record.trial_id, history)
        self._ledger.write(record)
        _slimmed(trial)
        row = dataclasses.asdict(record)
        if self._mirror is not None:
            self._mirror.add(row)
        follower = followed(self._identity.run_id)
        if follower is not None:
            follower.vector(row, [dataclasses.asdict(epoch) for epoch in history])
