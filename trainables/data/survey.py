"""Examines a run's records before training, and refuses those that no network can learn from."""

import dataclasses
import os

import numpy as np
from numpy.typing import NDArray

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.data.contents import Contents
from trainables.data.images import Data, ImageFiles, Images, Rows
from trainables.data.registry import DatasetSpec
from trainables.data.survey_rows import RowSample

IN_MEMORY, IN_FILES = 1000, 64
"""Images in a sample, evenly spread; decoding a file takes about 10 ms."""

FAR = 2.0
"""A declared standard deviation is far off by this factor; a mean when it is this half as many
standard deviations away."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Statistics of some of the images, as the network gets them before normalisation."""

    count: int
    heights: tuple[int, int]
    """Least and most, in pixels; of files as they lie on the disk."""

    widths: tuple[int, int]
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to [0, 1]."""

    std: tuple[float, ...]
    least: int
    most: int
    """Least and most of all pixel values, in 0 to 255."""

    one_coloured: int
    """Images whose pixels all have one colour."""

    def in_words(self) -> str:
        """The number of images and their sizes."""

        def sides(side: tuple[int, int]) -> str:
            return f"{side[0]}" if side[0] == side[1] else f"{side[0]} to {side[1]}"

        return (
            f"{self.count:,} images, {sides(self.heights)} high and {sides(self.widths)} wide, "
            f"values {self.least} to {self.most}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """What examining a data set found."""

    contents: Contents
    sample: Sample | RowSample
    notes: tuple[str, ...]
    """Sentences that the user should read."""


def survey_images(name: str, images: Data, spec: DatasetSpec) -> Survey:
    """Examine the data set `name`. Raises InvalidInput for data that no network can learn from.

    All files are opened and some decoded; of what is in memory all is examined.
    """
    classes = np.unique(images.labels)
    if len(classes) < 2:
        raise InvalidInput(
            f"data set {name!r} has {noun.many()} of one class only "
            f"({_name(images, int(classes[0]))}): put {noun.many()} of another there, or correct "
            "the labels"
        )
    contents = Contents.of(images)
    if not contents.copies.any():
        raise InvalidInput(
            f"data set {name!r}: all {len(images.labels):,} {noun.many()} are the same one: "
            "mend what reads them"
        )
    seen, notes = _looked_at(name, images, spec)
    missing = spec.n_classes - len(classes)
    if missing:
        notes.append(f"{missing:,} of {spec.n_classes:,} classes have no {noun.many()}")
    if isinstance(seen, Sample) and is_far_off(seen, spec):
        notes.append(
            f"Images are normalised with the declared mean {_rounded(spec.mean)} and std "
            f"{_rounded(spec.std)}, far from those of {seen.count:,} images: "
            f"{_rounded(seen.mean)} and {_rounded(seen.std)}"
        )
    return Survey(contents=contents, sample=seen, notes=tuple(notes))


def _looked_at(name: str, images: Data, spec: DatasetSpec) -> tuple[Sample | RowSample, list[str]]:
    """What the records hold, and the first sentences about it."""
    if isinstance(images, Rows):
        rows = RowSample.of(images)
        return rows, rows.notes()
    sample = _sample_of_files(images, spec) if isinstance(images, ImageFiles) else _sample(images)
    one_coloured, looked_at = _one_coloured(images, sample)
    if one_coloured == looked_at:
        raise InvalidInput(
            f"data set {name!r}: each of {looked_at:,} images is of one colour throughout, as a "
            "black one is: mend what reads them"
        )
    notes = list(images.notes) if isinstance(images, ImageFiles) else []
    if one_coloured:
        notes.append(f"{one_coloured:,} of {looked_at:,} images are of one colour throughout")
    return sample, notes


def is_far_off(sample: Sample, spec: DatasetSpec) -> bool:
    """Whether a channel's declared mean or std does not describe the sample."""
    return any(
        abs(mean - declared) > spread * FAR / 2 or not spread / FAR <= std <= spread * FAR
        for mean, std, declared, spread in zip(
            sample.mean, sample.std, spec.mean, spec.std, strict=True
        )
    )


def _rounded(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _name(images: Data, label: int) -> str:
    return images.classes[label] if isinstance(images, ImageFiles) else str(label)


def _spread(count: int, most: int) -> list[int]:
    """At most `most` positions, evenly spread."""
    positions: list[int] = np.linspace(0, count - 1, min(count, most)).astype(np.int64).tolist()
    return positions


def _one_coloured(images: Images | ImageFiles, sample: Sample) -> tuple[int, int]:
    """How many images are of one colour, and of how many; images of one pixel have no choice."""
    if isinstance(images, ImageFiles):
        return sample.one_coloured, sample.count
    return _count_one_coloured(images.pixels), len(images.pixels)


def _count_one_coloured(pixels: NDArray[np.uint8]) -> int:
    if pixels.shape[2:] == (1, 1):  # a row of a table, not a picture
        return 0
    flat = pixels.reshape(*pixels.shape[:2], -1)
    return int((flat.min(axis=2) == flat.max(axis=2)).all(axis=1).sum())


def _statistics(
    pixels: NDArray[np.uint8], heights: tuple[int, int], widths: tuple[int, int]
) -> Sample:
    scaled = pixels / 255
    return Sample(
        count=len(pixels),
        heights=heights,
        widths=widths,
        mean=tuple(scaled.mean(axis=(0, 2, 3)).tolist()),
        std=tuple(scaled.std(axis=(0, 2, 3)).tolist()),
        least=int(pixels.min()),
        most=int(pixels.max()),
        one_coloured=_count_one_coloured(pixels),
    )


def _sample(images: Images) -> Sample:
    pixels = images.pixels[_spread(len(images.pixels), IN_MEMORY)]
    height, width = pixels.shape[2:]
    return _statistics(pixels, (height, height), (width, width))


def _sample_of_files(images: ImageFiles, spec: DatasetSpec) -> Sample:
    from PIL import Image

    from trainables.data.streamed import Decoder  # torchvision costs a second

    decoder, sizes, pixels = Decoder(images, spec.image_shape[1]), [], []
    for position in _spread(len(images.labels), IN_FILES):
        try:
            pixels.append(decoder[position, None].permute(2, 0, 1).numpy())
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        with Image.open(images.folder / os.fsdecode(images.files[position])) as image:
            sizes.append(image.size)
    widths, heights = zip(*sizes, strict=True)
    return _statistics(np.stack(pixels), (min(heights), max(heights)), (min(widths), max(widths)))
