"""The network of a trial: from its seed or from published weights, laid out for the device."""

from torch import nn

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.models.building import build_model, memory_format


def new_network(config: TrialConfig, cohort: Cohort, *, seed: int | None = None) -> nn.Module:
    """`config.model` for `config.dataset`, initialised from `seed` [the trial's own].

    Published weights of the cohort, if any, replace the initialisation.
    """
    spec = DATASETS[config.dataset]
    network = build_model(
        config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        n_tokens=spec.n_tokens,
        seed=config.seed if seed is None else seed,
    )
    if cohort.pretrained is not None:
        network.load_state_dict(cohort.pretrained)
    layout = memory_format(config.model, spec.n_classes, spec.image_shape, spec.n_tokens)
    return network.to(cohort.members.device).to(memory_format=layout)
