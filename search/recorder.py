"""Tune callback: every trial that ends becomes one row of trials.parquet and its epochs."""

import dataclasses
import datetime
import logging
from typing import Any

from ray.tune import Callback

from search.ledger import Ledger
from search.mirror import mirror, remembered
from search.space import Space
from trainables.config import last_line
from trainables.records import COMPLETE, FAILED, PRUNED, EpochRecord, TrialRecord
from trainables.trial import Job, job_of

log = logging.getLogger(__name__)

MEASURED = (
    "nonzero",
    "compression",
    "flops_ratio",
    "train_accuracy",
    "val_accuracy",
    "test_accuracy",
    "attack_gain",
    "attack_gain_se",
    "excess_gain",
    "js_divergence",
    "attack_accuracy",
    "attack_auc",
    "tpr_at_1pct_fpr",
    "tpr_at_01pct_fpr",
    "strongest_attack",
    "attack_gains",
    "defense_spent",
    "js_divergence_se",
)
"""Columns that only a trial with its full budget fills."""


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
    state = FAILED if error else COMPLETE if result.get("finished") else PRUNED
    bounds = [result.get("accuracy_violation"), result.get("compression_violation")]
    measured: dict[str, Any] = {}
    if state == COMPLETE:
        measured = {key: result.get(key) for key in MEASURED}
    if state == PRUNED:
        measured["val_accuracy"] = result.get("val_accuracy")
    started = result.get("started_at")
    return TrialRecord(
        run_id=identity.run_id,
        trial_id=trial.trial_id,
        number=trial.number,
        kind=trial.kind,
        state=state,
        feasible=state == COMPLETE and all(bound is None or bound <= 0 for bound in bounds),
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
        accuracy_violation=bounds[0] if state != FAILED else None,
        compression_violation=bounds[1] if state != FAILED else None,
        epochs=int(result.get("epochs", 0)),
        images_seen=int(result.get("images_seen", 0)),
        error=error,
        pruner=trial.pruner,
        defense_parameters=dict(trial.parameters),
        **measured,
    )


class Recorder(Callback):
    """Writes the ledger; holds only what pickles, since Tune saves its callbacks for a restore."""

    def __init__(
        self,
        ledger: Ledger,
        identity: RunIdentity,
        space: Space | None = None,
        mirrored: bool = False,
    ) -> None:
        """mirrored: copy every row to the storage that this process remembers for the run."""
        self._ledger = ledger
        self._identity = identity
        self._space = space
        self._mirrored = mirrored

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial finished its budget or was stopped."""
        self._write(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial failed for good, all retries used."""
        self._write(trial, cause(trial.get_error()))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """A mirror that was away when the last trial ended gets its last chance."""
        self._mirror()

    def _write(self, trial: Any, error: str | None) -> None:
        result = trial.last_result or {}
        record = to_record(self._identity, job_of(trial.config), result, error)
        history = [EpochRecord(**epoch) for epoch in result.get("history", [])]
        if history:
            self._ledger.write_epochs(record.trial_id, history)
        self._ledger.write(record)
        self._mirror()

    def _mirror(self) -> None:
        storage = remembered(self._identity.run_id) if self._mirrored else None
        if storage is not None and self._space is not None:
            mirror(storage, self._identity.run_id, self._ledger.rows(), self._space)


PROCESS_ENDED = (
    "the trial's process ended every time it was tried: no epoch within --trial-timeout, or "
    "killed, perhaps for its memory"
)
"""In place of Ray's paragraph about an actor that died, which names neither."""

OUT_OF_MEMORY = (
    "Ray ended the trial's process every time it was tried, since its machine ran low on memory: "
    "fewer trials at a time (--concurrency, --cpus-per-trial) leave more to each"
)
"""In place of Ray's page about the machine's memory."""


def cause(error: BaseException | str | None) -> str:
    """What made a trial fail, on one line."""
    if "The actor died unexpectedly" in str(error):
        return PROCESS_ENDED
    if "running low on memory" in str(error):
        return OUT_OF_MEMORY
    return last_line(error or "") or "the trial ended without saying why"
