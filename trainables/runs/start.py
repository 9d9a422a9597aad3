"""What a defence's candidate begins from, and how its builder is called."""

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.runs.protocol import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """What a candidate may begin from: the dense model of the run, or of its reference."""

    weights: Mapping[str, Tensor]
    """State dict; defences that train from scratch ignore it."""

    seed: int
    """The dense model was initialised from it."""


Builder = Callable[[TrialConfig, Cohort, Start], Run]
"""Makes one candidate of a defence; its entry in trainables.defenses.registry names it."""
