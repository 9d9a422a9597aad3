"""A network's weights on disk and between processes: each tensor once, under one of its names."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_model
from torch import Tensor, nn

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""NumPy has no bfloat16: its bits travel under this name."""


def save_weights(model: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors; other names of tied weights become metadata."""
    save_model(model, str(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote; tied weights under one of their names."""
    return load_file(path)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put `weights` into the model; a tied weight may be there under any of its names.

    Raises ValueError, one line, where the model has what `weights` lack, or lacks what they have.
    """
    own = model.state_dict()
    named: Any = OrderedDict(weights)
    named._metadata = own._metadata  # type: ignore[attr-defined]  # noqa: SLF001 - versions that modules look for
    missing, unexpected = model.load_state_dict(named, strict=False)
    given = {own[name].data_ptr() for name in weights if name in own}
    lost = [name for name in missing if own[name].numel() and own[name].data_ptr() not in given]
    if lost or unexpected:
        raise ValueError(
            f"the weights do not fit the network: missing {lost[:3]}, unexpected {unexpected[:3]}"
        )


def as_arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The weights as NumPy arrays, which Ray's object store shares without copies."""
    return {
        name: value.view(torch.int16).numpy().view(BFLOAT16)
        if value.dtype == torch.bfloat16
        else value.numpy()
        for name, value in weights.items()
    }


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Copies of what `as_arrays` gave: the object store's memory is read-only."""
    return {
        name: torch.from_numpy(value.copy().view(np.int16)).view(torch.bfloat16)
        if value.dtype == BFLOAT16
        else torch.from_numpy(value.copy())
        for name, value in arrays.items()
    }
