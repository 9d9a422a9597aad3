"""The interface of a run's records to training and attacks: images, in memory or files, or rows."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from trainables.data.device import DeviceImages
from trainables.data.device_rows import DeviceRows
from trainables.data.images import Data, ImageFiles, Rows
from trainables.data.registry import DatasetSpec


class ImageBatches(Protocol):
    """Records and labels of one data set; images come normalised to the trial's device."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64 on the device."""

    @property
    def at_once(self) -> int:
        """Images per forward pass without gradients; bounds memory and leaves results alone."""

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> images (b, c, h, w) float32, or rows (b, ...); not augmented."""

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Records and labels of each part in turn; augmented where `crops` (CPU) is given."""


def on_device(images: Data, spec: DatasetSpec, device: torch.device, decoders: int) -> ImageBatches:
    """What is in memory goes to the device at once; files are read as they are needed.

    decoders: processes that read files ahead; 0 reads them in this one.
    """
    if isinstance(images, ImageFiles):
        from trainables.data.streamed import StreamedImages  # torchvision costs a second

        return StreamedImages(images, spec, device=device, decoders=decoders)
    if isinstance(images, Rows):
        return DeviceRows.of(images).to(device)
    return DeviceImages.of(images, spec).to(device)
