"""A user's data set gives the same again: augmentation, unsteady labels and lengths are refused."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.base.errors import InvalidInput
from trainables.data import items
from trainables.data.images import DataAbsent
from trainables.data.pairs import collected

PIXELS = torch.randint(256, (100, 1, 8, 8), generator=torch.Generator().manual_seed(0))
PIXELS = PIXELS.to(torch.uint8)


class Steady:
    """(image, label), the same at every reading."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, position: int):
        return PIXELS[position], position % 3


class Mirrored(Steady):
    generator = np.random.default_rng(0)

    def __getitem__(self, position: int):
        image = PIXELS[position]
        return (image.flip(2) if self.generator.random() < 0.5 else image), position % 3


class Jittered(Steady):
    """By one step of 255, in one pixel."""

    reads = 0

    def __getitem__(self, position: int):
        self.reads += 1
        image = PIXELS[position].clone()
        image[0, 0, 0] = self.reads % 256
        return image, position % 3


class Relabelled(Steady):
    reads = 0

    def __getitem__(self, position: int):
        self.reads += 1
        return PIXELS[position], self.reads % 3


class Shrinking(Steady):
    length = 101

    def __len__(self) -> int:
        self.length -= 1
        return self.length


class OneBuffer(Steady):
    buffer = torch.zeros(1, 8, 8, dtype=torch.uint8)

    def __getitem__(self, position: int):
        self.buffer.copy_(PIXELS[position])
        return self.buffer, position % 3


def read(make):
    return collected("mine", make, Path(), 3, functools.partial(items.image, (1, 8, 8)))


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (Mirrored, "its image changes when it is read a second time: do not augment there"),
        (Jittered, "item 0: its image changes when it is read a second time"),
        (Relabelled, "item 0: its label changes when it is read a second time"),
        (Shrinking, "had 100 items before they were read and 99 after: give it a length that"),
    ],
)
def test_a_data_set_that_is_another_at_every_look_is_refused(dataset, says) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        read(lambda folder: dataset())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", [Steady, OneBuffer])
def test_a_steady_one_is_read_as_it_is_even_out_of_one_buffer(dataset) -> None:
    pixels, labels = read(lambda folder: dataset())
    assert (pixels == PIXELS.numpy()).all()
    assert labels.tolist() == [position % 3 for position in range(100)]


@pytest.mark.parametrize("error", [FileNotFoundError("x.npz"), ConnectionError("no network")])
def test_data_that_are_not_there_are_told_from_data_that_are_wrong(error) -> None:
    def absent(folder: Path) -> Steady:
        raise error

    with pytest.raises(DataAbsent, match=f"data set 'mine' failed: {type(error).__name__}"):
        read(absent)
    with pytest.raises(InvalidInput) as caught:
        read(lambda folder: 1 / 0)
    assert not isinstance(caught.value, DataAbsent)
