"""A data set on the trial's device: bytes at rest, normalised float batches on demand."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainables.data.images import Images
from trainables.data.registry import DatasetSpec

PADDING = 4
"""Pixels of zero padding around an image before the random crop, as is usual on CIFAR."""


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(b, c, h, w) uint8 -> float32, channels last; mean and std broadcast, of pixels in [0, 1]."""
    scaled = pixels.float().div_(255).sub_(mean).div_(std)
    return scaled.contiguous(memory_format=torch.channels_last)


class DeviceImages:
    """All images of a run on one device; a batch costs an index and a normalisation."""

    at_once = 2048

    def __init__(
        self, pixels: Tensor, labels: Tensor, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """pixels: (n, c, h, w) uint8.  labels: (n,) int64.  mean, std: per channel, in [0, 1]."""
        self.pixels = pixels
        self.labels = labels
        self._mean = torch.tensor(mean, device=pixels.device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=pixels.device).view(1, -1, 1, 1)
        self._statistics = (tuple(mean), tuple(std))

    @classmethod
    def of(cls, images: Images, spec: DatasetSpec) -> "DeviceImages":
        """On the CPU, copied once: the object store's memory is read-only."""
        pixels, labels = torch.tensor(images.pixels), torch.tensor(images.labels)
        return cls(pixels, labels, spec.mean, spec.std)

    def to(self, device: torch.device) -> "DeviceImages":
        """The same images on `device`."""
        return DeviceImages(self.pixels.to(device), self.labels.to(device), *self._statistics)

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> (b, c, h, w) float32, normalised, channels last."""
        return normalised(self.pixels[indices], self._mean, self._std)

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of each part; cropped and flipped out of `crops` where it is given.

        What the CPU draws is sent to the device at once, so that no step waits for a copy.
        """
        _, _, height, width = self.pixels.shape
        drawn: list[tuple[Tensor, ...]] = [
            (part, *(() if crops is None else _cuts(len(part), height, width, crops)))
            for part in parts
        ]
        sizes = [len(part) for part, *_ in drawn]
        sent = [torch.cat(column).to(self.pixels.device) for column in zip(*drawn, strict=True)]
        for indices, *cut in zip(*(torch.split(one, sizes) for one in sent), strict=True):
            batch = self.batch(indices)
            yield _cropped(batch, *cut) if cut else batch, self.labels[indices]


def _cuts(count: int, height: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows (b, h) and columns (b, w) of padded images that make up the cropped ones.

    Each is cut out at random and mirrored half of the time.  generator: on the CPU, so that every
    device draws alike.
    """
    offsets = torch.randint(2 * PADDING + 1, (2, count), generator=generator)
    mirrored = torch.randint(2, (count,), generator=generator).bool()
    rows = offsets[0, :, None] + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns) + offsets[1, :, None]
    return rows, columns


def _cropped(batch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The parts of zero-padded images that `_cuts` drew, channels last."""
    count, channels, height, width = batch.shape
    padded = functional.pad(batch, [PADDING] * 4)
    picked = padded.gather(
        2, rows[:, None, :, None].expand(count, channels, height, width + 2 * PADDING)
    )
    cropped = picked.gather(3, columns[:, None, None, :].expand(count, channels, height, width))
    return cropped.contiguous(memory_format=torch.channels_last)
