"""How the user trains dense models, where the plugin says it (`plugin.register_training`)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Training = Callable[[nn.Module, Tensor, Tensor, int, torch.device], nn.Module | None]
"""(network, images, labels, seed, device) -> the trained network, or None where it was trained in
place."""

TRAININGS: list[Training] = []
"""At most one: it makes all dense models of a run."""
