"""From a trial's settings to the run that makes its model: one entry per defence."""

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.defenses.minmax import Adversary, AdversaryFor
from trainables.runs.dense import DenseRun
from trainables.runs.memguard import MemGuardRun
from trainables.runs.protocol import Run
from trainables.runs.pruning import PruningRun
from trainables.runs.stacking import StackedRun


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """What a candidate may begin from: the dense model of the run, or of its reference."""

    weights: Mapping[str, Tensor]
    """State dict; defences that train from scratch ignore it."""

    seed: int
    """That it was initialised from."""


Builder = Callable[[TrialConfig, Cohort, Start], Run]


def _adversary(config: TrialConfig, cohort: Cohort) -> AdversaryFor:
    def beside(classifier: nn.Module) -> Adversary:
        return Adversary(
            classifier,
            cohort,
            gamma=config.parameters["gamma"],
            inner_steps=int(config.parameters["inner_steps"]),
            batch_size=config.training.batch_size,
            n_classes=DATASETS[config.dataset].n_classes,
            seed=config.seed,
        )

    return beside


def _trained_anew(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    return DenseRun(config, cohort)


def _pruned(config: TrialConfig, cohort: Cohort, start: Start) -> Run:
    return PruningRun(config, cohort, start.weights, initial_seed=start.seed)


def _minmax(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    return DenseRun(config, cohort, adversary=_adversary(config, cohort))


def _pruned_minmax(config: TrialConfig, cohort: Cohort, start: Start) -> Run:
    adversary = _adversary(config, cohort)
    return PruningRun(config, cohort, start.weights, initial_seed=start.seed, adversary=adversary)


def _private(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    from trainables.runs.dp import PrivateRun  # Opacus costs each process a second

    return PrivateRun(config, cohort)


def _memguard(config: TrialConfig, cohort: Cohort, start: Start) -> Run:
    return MemGuardRun(config, cohort, start.weights)


def _stacked(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    return StackedRun(config, cohort)


def _stopped_early(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    return DenseRun(config, cohort, stop_after=int(config.parameters["epochs"]))


def _decayed(config: TrialConfig, cohort: Cohort, _start: Start) -> Run:
    decay = config.parameters["weight_decay"]
    return DenseRun(
        config, cohort, training=dataclasses.replace(config.training, weight_decay=decay)
    )


BUILDERS: dict[str, Builder] = {
    "none": _trained_anew,
    "pruning": _pruned,
    "minmax": _minmax,
    "pruning+minmax": _pruned_minmax,
    "dp": _private,
    "memguard": _memguard,
    "stacking": _stacked,
    "early-stopping": _stopped_early,
    "weight-decay": _decayed,
}
"""Defence -> how its candidates are made."""


def new_run(config: TrialConfig, cohort: Cohort, start: Start) -> Run:
    """The run that makes the model `config` asks for; KeyError for an unknown defence."""
    return BUILDERS[config.defense](config, cohort, start)
