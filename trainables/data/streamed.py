"""Images that exceed memory: files decoded on demand by processes that run ahead of training.

The run's generator alone decides every crop, whatever the number of processes.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional

from trainables.data.decoded import DecodedImages
from trainables.data.device import normalised
from trainables.data.images import ImageFiles
from trainables.data.registry import DatasetSpec

SHORTER_SIDE = 256 / 224
"""Images are scaled so that the shorter side is this multiple of the crop, as the published weights
were measured; training crops are of the scaled image too, which can be kept decoded."""

LEAST_AREA, WIDEST = 0.08, 4 / 3
"""Training crops keep at least this share of an image, at most this far from a square (Szegedy et
al. 2015, section 6)."""

Wanted = tuple[int, int | None]
"""Position, and the seed of its crop; None for the middle of the image."""


class Decoder(Dataset[Tensor]):
    """`Wanted` -> (side, side, 3) uint8; picklable, so that processes can read ahead."""

    def __init__(self, images: ImageFiles, side: int) -> None:
        self._images = images
        self._side = side
        self._decoded = DecodedImages(round(side * SHORTER_SIDE), images.cache)

    def __getitem__(self, wanted: Wanted) -> Tensor:
        """Raises ValueError naming the file when it cannot be decoded."""
        position, seed = wanted
        image = self._decoded(self._images.folder / os.fsdecode(self._images.files[position]))
        side = self._side
        if seed is None:
            image = functional.center_crop(image, side)
        else:
            generator = np.random.default_rng(seed)
            box = random_box(image.width, image.height, generator)
            image = functional.resized_crop(image, *box, [side, side])
            if generator.random() < 0.5:
                image = functional.hflip(image)
        return torch.tensor(np.asarray(image))  # a copy: PIL's own pixels cannot be written


def channels_first(pixels: list[Tensor]) -> Tensor:
    """Decoded images -> (b, 3, side, side), channels last in memory as they came."""
    return torch.stack(pixels).permute(0, 3, 1, 2)


def random_box(
    width: int, height: int, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part of an image.

    Where the drawn shape does not fit, it is cut to the image.
    """
    area = width * height * generator.uniform(LEAST_AREA, 1.0)
    ratio = math.exp(generator.uniform(-math.log(WIDEST), math.log(WIDEST)))
    cut_width = min(max(round(math.sqrt(area * ratio)), 1), width)
    cut_height = min(max(round(math.sqrt(area / ratio)), 1), height)
    top = int(generator.integers(height - cut_height + 1))
    left = int(generator.integers(width - cut_width + 1))
    return top, left, cut_height, cut_width


class ReadAhead:
    """Processes that decode what is wanted next; they stay for the next pass over the images."""

    def __init__(self, decoder: Decoder, processes: int, *, pinned: bool) -> None:
        """processes: 0 decodes in this one.  pinned: into memory that a GPU copies from."""
        self._wanted: list[list[Wanted]] = []
        self._loader: DataLoader[Tensor] = DataLoader(
            decoder,
            batch_sampler=self._wanted,
            num_workers=processes,
            collate_fn=channels_first,
            pin_memory=pinned,
            persistent_workers=processes > 0,
            generator=torch.Generator(),  # the loader's own draw must not touch the global one
        )

    def read(self, wanted: list[list[Wanted]]) -> Iterator[Tensor]:
        """The images of each part, uint8, in order; one pass at a time."""
        self._wanted[:] = wanted
        yield from self._loader


class StreamedImages:
    """The interface of `DeviceImages` over files."""

    at_once = 256

    def __init__(
        self, images: ImageFiles, spec: DatasetSpec, *, device: torch.device, decoders: int
    ) -> None:
        """decoders: processes that read ahead; 0 decodes in this one."""
        self.labels = torch.tensor(images.labels).to(device)
        self._decoder = Decoder(images, spec.image_shape[1])
        self._decoders = decoders
        self._idle: list[ReadAhead] = []
        self._device = device
        self._mean = torch.tensor(spec.mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(spec.std, device=device).view(1, -1, 1, 1)

    def batch(self, indices: Tensor) -> Tensor:
        """(b,) positions -> (b, c, h, w) float32, normalised, channels last; not augmented."""
        pixels = [self._decoder[position, None] for position in indices.tolist()]
        return self._normalised(channels_first(pixels))

    def batches(
        self, parts: Iterable[Tensor], crops: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of each part; random crops, half of them mirrored, out of `crops`."""
        drawn = list(parts)
        wanted = [list(zip(part.tolist(), _seeds(len(part), crops), strict=True)) for part in drawn]
        every = self.labels[torch.cat(drawn).to(self._device)] if drawn else self.labels[:0]
        labels = torch.split(every, [len(part) for part in drawn])
        with self._reading() as ahead:
            for own, pixels in zip(labels, ahead.read(wanted), strict=True):
                yield self._normalised(pixels), own

    @contextlib.contextmanager
    def _reading(self) -> Iterator[ReadAhead]:
        """Idle processes, or new ones where a pass over other images goes on beside this one."""
        pinned = self._device.type == "cuda"
        ahead = (
            self._idle.pop()
            if self._idle
            else ReadAhead(self._decoder, self._decoders, pinned=pinned)
        )
        yield ahead
        self._idle.append(ahead)  # a pass that was left early is not taken up again

    def _normalised(self, pixels: Tensor) -> Tensor:
        return normalised(pixels.to(self._device, non_blocking=True), self._mean, self._std)


def _seeds(count: int, crops: torch.Generator | None) -> list[int] | list[None]:
    if crops is None:
        return [None] * count
    seeds: list[int] = torch.randint(2**62, (count,), generator=crops).tolist()
    return seeds
