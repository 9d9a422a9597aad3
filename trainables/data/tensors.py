"""Inputs that lie in one tensor as a network takes them: no normalisation, no crops."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


class TensorImages:
    """The interface of `DeviceImages` over a tensor of any kind of input."""

    at_once = 2048

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        """inputs: (n, ...) as the network takes them.  labels: (n,) int64 on the same device."""
        self.labels = labels
        self._inputs = inputs

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> (b, ...)."""
        return self._inputs[indices]

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of each part. Raises ValueError where crops are asked for."""
        if crops is not None:
            raise ValueError("inputs of any kind are not cropped")
        for part in parts:
            indices = part.to(self.labels.device)
            yield self.batch(indices), self.labels[indices]
