"""Stops a trial that can no longer become feasible; it looks at accuracy only, never at the gain.

A half-trained trial has memorised less and looks private, so a partial gain decides nothing.
"""

import dataclasses
from typing import Any

from ray.tune import Stopper

from trainables.base.errors import InvalidInput
from trainables.outcome.feasible import is_hopeless

HALFWAY = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfeasibleStopper(Stopper):
    """Ends a trial whose validation accuracy is still far below its bound late in the retraining.

    Reads `phase`, `progress`, `val_accuracy` and `accuracy_bound` of each report.
    """

    after: float = HALFWAY
    """Fraction of the retraining that a trial gets to recover from the hard prune."""

    slack: float = 0.03
    """Accuracy, as a fraction, that the rest of the retraining may still win."""

    allowance: float = 0.0
    """How far, as a fraction of images, the loosest bound of the run is below the reported one."""

    def __post_init__(self) -> None:
        if not 0 <= self.after <= 1:
            raise InvalidInput(f"stopping starts at a fraction in [0, 1], got {self.after}")
        if not 0 <= self.slack <= 1:
            raise InvalidInput(f"the slack of stopping is a fraction in [0, 1], got {self.slack}")
        if not 0 <= self.allowance <= 1:
            raise InvalidInput(
                f"the allowance of stopping is a fraction in [0, 1], got {self.allowance}"
            )

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop the trial that reported `result`."""
        if result.get("phase") != "retrain" or result["progress"] < self.after:
            return False
        loosest = result["accuracy_bound"] - self.allowance
        return is_hopeless(result.get("val_accuracy"), loosest, self.slack)

    def stop_all(self) -> bool:
        """Never ends the search; budgets do."""
        return False


def reason(result: dict[str, Any]) -> str | None:
    """Which bound stopped the trial that reported `result`; None where the report lacks it.

    >>> reason({"val_accuracy": 0.71, "accuracy_bound": 0.87, "progress": 0.75})[-55:]
    '0.160 below its bound 0.870 after 75% of the retraining'
    """
    accuracy, bound = result.get("val_accuracy"), result.get("accuracy_bound")
    if accuracy is None or bound is None:
        return None
    progress = float(result.get("progress") or 0.0)
    when = "halfway through" if progress == HALFWAY else f"after {progress:.0%} of"
    return (
        f"stopped: validation accuracy {accuracy:.3f} is {bound - accuracy:.3f} below its bound "
        f"{bound:.3f} {when} the retraining"
    )
