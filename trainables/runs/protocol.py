"""What every way to make a model looks like from outside: a resumable sequence of epochs."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from trainables.records import EpochRecord


@runtime_checkable
class Run(Protocol):
    """One model in the making; plain Python, runs without Ray."""

    model: nn.Module
    """The network, whose prunable layers are counted when it is finished."""

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""

    @property
    def finished(self) -> bool:
        """Whether the whole budget is spent."""

    @property
    def progress(self) -> float:
        """Fraction done of the epochs in which accuracy settles, for the stopper."""

    @property
    def at_stage_end(self) -> bool:
        """Whether the run stands at an epoch at which every such run reports."""

    @property
    def spent(self) -> Mapping[str, float]:
        """What the defence cost beyond accuracy, by name.

        `epsilon` for differential privacy, `distortion` of the released confidences for MemGuard.
        """

    def advance(self) -> EpochRecord:
        """Train one epoch."""

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32 as released: all that users and attackers see."""

    def state_dict(self) -> dict[str, Any]:
        """Everything `advance` depends on; loads with `weights_only=True`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
