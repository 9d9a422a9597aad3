"""The interface of a run's images to training and attacks, in memory or in files."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from trainables.data.device import DeviceImages
from trainables.data.images import ImageFiles, Images
from trainables.data.registry import DatasetSpec


class ImageBatches(Protocol):
    """Images and labels of one data set; batches come normalised to the trial's device."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64 on the device."""

    @property
    def at_once(self) -> int:
        """Images per forward pass without gradients; bounds memory and leaves results alone."""

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> (b, c, h, w) float32, not augmented."""

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of each part in turn; augmented where `crops` (CPU) is given."""


def on_device(
    images: Images | ImageFiles, spec: DatasetSpec, device: torch.device, decoders: int
) -> ImageBatches:
    """Bytes go to the device at once; files stay where they are and are read as they are needed.

    decoders: processes that read files ahead; 0 reads them in this one.
    """
    if isinstance(images, ImageFiles):
        from trainables.data.streamed import StreamedImages  # torchvision costs a second

        return StreamedImages(images, spec, device=device, decoders=decoders)
    return DeviceImages.of(images, spec).to(device)
