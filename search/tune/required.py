"""The jobs that a stage cannot do without, and why one of them did not finish."""

from typing import Any

from ray import tune

from search.tune.cause import cause
from trainables.job import Job, job_of


class StageFailed(RuntimeError):
    """A part that the run cannot do without has failed; the message is one line."""


def trial_name(trial: Any) -> str:
    """Our own stable name; Tune's would hold the whole vector and a random part."""
    return job_of(trial.config).trial.trial_id


class NoneMayFail(tune.Callback):
    """Ends a stage when a job of it failed for good: the others would be trained for nothing."""

    def __init__(self, what: str) -> None:
        """what: the jobs, in the words of the message."""
        self._what = what

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """All retries were used. Raises StageFailed."""
        raise failure(self._what, trial_name(trial), trial.get_error())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It may have ended without a model. Raises StageFailed."""
        error = (trial.last_result or {}).get("trial_error")
        if error:
            raise failure(self._what, trial_name(trial), error)


def require_all(results: dict[str, tune.Result], jobs: list[Job], what: str) -> None:
    """Raise StageFailed unless every job finished its full budget."""
    for job in jobs:
        reason = _unfinished(results.get(job.trial.trial_id))
        if reason is not None:
            others = sum(
                _unfinished(results.get(other.trial.trial_id)) is not None for other in jobs
            )
            more = f" ({others} of {len(jobs)} did not finish)" if others > 1 else ""
            raise StageFailed(f"{what} {job.trial.trial_id} failed{more}: {reason}")


def failure(what: str, name: str, error: BaseException | str | None) -> StageFailed:
    """In one line: which job of which kind failed, and why."""
    return StageFailed(f"{what} {name} failed: {cause(error)}")


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
