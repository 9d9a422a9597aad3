"""Rows on the trial's device: a batch is what the data set gave, neither scaled nor augmented."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from trainables.data.images import Rows


class DeviceRows:
    """The interface of `DeviceImages` over rows."""

    at_once = 512
    """Fewer than images: a recurrent layer keeps every step of a sequence."""

    def __init__(self, values: Tensor, labels: Tensor) -> None:
        """values: (n, ...) float32 or int64.  labels: (n,) int64."""
        self.values = values
        self.labels = labels

    @classmethod
    def of(cls, rows: Rows) -> "DeviceRows":
        """On the CPU, copied once: the object store's memory is read-only."""
        return cls(torch.tensor(rows.values), torch.tensor(rows.labels))

    def to(self, device: torch.device) -> "DeviceRows":
        """The same rows on `device`."""
        return DeviceRows(self.values.to(device), self.labels.to(device))

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> (b, ...)."""
        return self.values[indices]

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and labels of each part; all positions are sent to the device at once.

        Raises ValueError where `crops` asks for augmentation, which only images have.
        """
        if crops is not None:
            raise ValueError("rows cannot be cropped or mirrored")
        drawn = list(parts)
        if not drawn:
            return
        sent = torch.cat(drawn).to(self.values.device)
        for indices in torch.split(sent, [len(part) for part in drawn]):
            yield self.batch(indices), self.labels[indices]
