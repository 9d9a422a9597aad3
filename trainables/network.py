"""The network of a trial, built from its seed and laid out for the device."""

import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.data.registry import DATASETS
from trainables.models import build_model


def new_network(config: TrialConfig, device: torch.device, *, seed: int | None = None) -> nn.Module:
    """`config.model` for `config.dataset`, initialised from `seed` [the trial's own]."""
    spec = DATASETS[config.dataset]
    network = build_model(
        config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        seed=config.seed if seed is None else seed,
    )
    return network.to(device).to(memory_format=torch.channels_last)
