"""Min-Max as a run: training from scratch, or pruning, against an attacker that learns along."""

from torch import nn

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.defenses.minmax import Adversary, AdversaryFor
from trainables.runs.dense import DenseRun
from trainables.runs.pruning import PruningRun
from trainables.runs.start import Start


def trained_against(config: TrialConfig, cohort: Cohort, _start: Start) -> DenseRun:
    """The recipe, whose loss holds the attacker's gain too."""
    return DenseRun(config, cohort, adversary=_adversary(config, cohort))


def pruned_against(config: TrialConfig, cohort: Cohort, start: Start) -> PruningRun:
    """The pruner, whose loss holds the attacker's gain too."""
    adversary = _adversary(config, cohort)
    return PruningRun(config, cohort, start.weights, initial_seed=start.seed, adversary=adversary)


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
