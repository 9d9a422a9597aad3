"""From a trial's settings to the run that makes its model: one entry per defence."""

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor

from trainables.baseline import DenseRun
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.pruning_run import PruningRun
from trainables.run import Run

State = Mapping[str, Tensor]
Builder = Callable[[TrialConfig, Cohort, State], Run]
"""(settings, cohort, dense model's weights) -> run; defences from scratch ignore the weights."""


def _trained_anew(config: TrialConfig, cohort: Cohort, _dense: State) -> Run:
    return DenseRun(config, cohort)


def _pruned(config: TrialConfig, cohort: Cohort, dense: State) -> Run:
    return PruningRun(config, cohort, dense)


def _stopped_early(config: TrialConfig, cohort: Cohort, _dense: State) -> Run:
    return DenseRun(config, cohort, stop_after=int(config.parameters["epochs"]))


def _decayed(config: TrialConfig, cohort: Cohort, _dense: State) -> Run:
    decay = config.parameters["weight_decay"]
    return DenseRun(
        config, cohort, training=dataclasses.replace(config.training, weight_decay=decay)
    )


BUILDERS: dict[str, Builder] = {
    "none": _trained_anew,
    "pruning": _pruned,
    "early-stopping": _stopped_early,
    "weight-decay": _decayed,
}
"""Defence -> how its candidates are made."""


def new_run(config: TrialConfig, cohort: Cohort, dense: State) -> Run:
    """The run that makes the model `config` asks for; KeyError for an unknown defence."""
    return BUILDERS[config.defense](config, cohort, dense)
