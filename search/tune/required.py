"""The jobs that a stage cannot do without, and why one of them did not finish."""

from typing import Any

from ray import tune

from search.tune.cause import cause
from trainables.base.errors import InvalidInput
from trainables.job import Job, job_of
from trainables.training import OUT_OF_GPU_MEMORY

SLOWER = (
    "lower the learning rate of its recipe with --set, or in the function that the plugin gives to "
    "register_training"
)
"""What to do about a training whose loss is no number any more."""


class StageFailed(RuntimeError):
    """A part that the run cannot do without has failed; the message is one line."""


class TrainingDiverged(StageFailed, InvalidInput):
    """It failed by the recipe that it was given, and would again."""


def trial_name(trial: Any) -> str:
    """Our own stable name; Tune's would hold the whole vector and a random part."""
    return job_of(trial.config).trial.trial_id


class NoneMayFail(tune.Callback):
    """Ends a stage when a job of it failed for good: the others would be trained for nothing."""

    def __init__(self, what: str) -> None:
        """what: the jobs, in the words of the message."""
        self._what = what
        self.failed: StageFailed | None = None
        """What ended the stage; Tune raises another exception in its place."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """All retries were used. Raises StageFailed."""
        reason = _failed(self._what, trial, cause(trial.get_error()))
        # Tune makes an error of the trial of what a callback raises, and comes here with it
        self.failed = self.failed or StageFailed(reason)
        raise self.failed

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It may have ended without a model. Raises TrainingDiverged."""
        error = (trial.last_result or {}).get("trial_error")
        if error:
            self.failed = _without_model(_failed(self._what, trial, error), error)
            raise self.failed


def require_all(results: dict[str, tune.Result], jobs: list[Job], what: str) -> None:
    """Raise StageFailed, or TrainingDiverged, unless every job finished its full budget."""
    for job in jobs:
        reason = _unfinished(results.get(job.trial.trial_id))
        if reason is not None:
            others = sum(
                _unfinished(results.get(other.trial.trial_id)) is not None for other in jobs
            )
            more = f" ({others} of {len(jobs)} did not finish)" if others > 1 else ""
            said = f"{what} {job.trial.trial_id} failed{more}: {reason}"
            if _diverged(results.get(job.trial.trial_id)):
                raise _without_model(said, reason)
            raise StageFailed(said)


def _without_model(said: str, reason: str) -> StageFailed:
    """What ends a stage whose job ended by itself without a model, with the remedy."""
    if reason == OUT_OF_GPU_MEMORY:
        return StageFailed(said)
    return TrainingDiverged(f"{said}; {SLOWER}")


def _failed(what: str, trial: Any, reason: str) -> str:
    """In one line: which job of which kind failed, and why."""
    return f"{what} {trial_name(trial)} failed: {reason}"


def _diverged(result: tune.Result | None) -> bool:
    return result is not None and bool((result.metrics or {}).get("trial_error"))


def _unfinished(result: tune.Result | None) -> str | None:
    """Why a job has no full result, on one line; None where it has one."""
    if result is None:
        return "it was not started: the stage ended before its turn"
    if result.error is not None:
        return cause(result.error)
    metrics = result.metrics or {}
    if metrics.get("finished"):
        return None
    if metrics.get("trial_error"):
        return str(metrics["trial_error"])
    if not metrics.get("epochs"):
        return "its process ended, or the stage did, before its first report"
    return f"it ended after {metrics['epochs']} epochs, before its full budget"
