"""Batches on the device: normalised as NumPy would, augmented as a loop over images would."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.launches import Launches
from trainables.base.seeding import torch_generator
from trainables.data import device
from trainables.data.device import PADDING, DeviceImages
from trainables.data.images import Images
from trainables.data.registry import DATASETS


def crop_and_flip(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    count, _, height, width = batch.shape
    return device._cropped(batch, *device._cuts(count, height, width, generator))


def some(count: int, channels: int, side: int) -> Images:
    generator = np.random.default_rng(count)
    pixels = generator.integers(0, 256, (count, channels, side, side)).astype(np.uint8)
    return Images(pixels, generator.integers(0, 10, count))


@pytest.mark.parametrize("name", DATASETS)
def test_a_batch_is_normalised_by_channel(name) -> None:
    spec = DATASETS[name]
    images = some(7, *spec.image_shape[:2])
    batch = DeviceImages.of(images, spec).batch(torch.tensor([3, 0, 3]))
    mean = np.array(spec.mean)[:, None, None]
    std = np.array(spec.std)[:, None, None]
    expected = (images.pixels[[3, 0, 3]] / 255 - mean) / std
    np.testing.assert_allclose(batch.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_images_are_copied_once_and_never_changed() -> None:
    images = some(4, 1, 28)
    images.pixels.setflags(write=False)  # as the object store's memory
    before = images.pixels.copy()
    ours = DeviceImages.of(images, DATASETS["mnist5k"])
    list(ours.batches([torch.arange(4)], torch_generator(0, "crops")))
    assert not np.shares_memory(ours.pixels.numpy(), images.pixels)
    assert (ours.pixels.numpy() == before).all()
    moved = ours.to(torch.device("cpu"))
    assert torch.equal(moved.batch(torch.arange(4)), ours.batch(torch.arange(4)))


def augmented_one_by_one(batch: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """The oracle: pad, cut and mirror each image by itself, with the same draws."""
    count, _, height, width = batch.shape
    tops, lefts = torch.randint(2 * PADDING + 1, (2, count), generator=generator).tolist()
    mirrored = torch.randint(2, (count,), generator=generator).tolist()
    images = []
    for image, top, left, mirror in zip(batch, tops, lefts, mirrored, strict=True):
        padded = np.pad(image, [(0, 0), (PADDING, PADDING), (PADDING, PADDING)])
        crop = padded[:, top : top + height, left : left + width]
        images.append(crop[:, :, ::-1] if mirror else crop)
    return np.stack(images)


@given(
    count=st.integers(1, 6),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**16),
)
def test_crop_and_flip_equals_a_loop_over_images(count, channels, height, width, seed) -> None:
    batch = torch.rand(count, channels, height, width, generator=torch_generator(seed, "batch"))
    before = batch.clone()
    result = crop_and_flip(batch, torch_generator(seed, "crops"))
    expected = augmented_one_by_one(batch.numpy(), torch_generator(seed, "crops"))
    assert (result.numpy() == expected).all()
    assert torch.equal(batch, before)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_crops_depend_on_the_generator_alone() -> None:
    images = DeviceImages.of(some(64, 3, 32), DATASETS["cifar10"])
    batch = images.batch(torch.arange(64))
    one, same, other = (crop_and_flip(batch, torch_generator(seed, "crops")) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_crop_and_both_sides_occur() -> None:
    marked = torch.zeros(2000, 1, 28, 28)
    marked[:, 0, 14, 10] = 1
    cropped = crop_and_flip(marked, torch_generator(0, "crops"))
    _, _, rows, columns = torch.nonzero(cropped, as_tuple=True)
    assert set(rows.tolist()) == set(range(10, 19))
    assert set(columns.tolist()) == {*range(6, 15), *range(13, 22)}


@pytest.mark.parametrize("augmented", [False, True])
def test_a_pass_sends_what_it_draws_to_the_device_at_once(augmented) -> None:
    images = DeviceImages.of(some(60, 3, 32), DATASETS["cifar10"]).to(torch.device("meta"))
    crops = torch_generator(0, "crops") if augmented else None
    with Launches() as launches:
        batches = images.batches(torch.split(torch.arange(60), 7), crops)
        assert [len(batch) for batch, _ in batches] == [7] * 8 + [4]
    assert launches.copies == (3 if augmented else 1)


def test_batches_are_cropped_in_the_order_of_the_draws() -> None:
    images = DeviceImages.of(some(20, 3, 32), DATASETS["cifar10"])
    together, apart = (torch_generator(0, "crops") for _ in range(2))
    orders = (torch.randperm(20, generator=together)[:5] for _ in range(3))  # as DP-SGD draws them
    for batch, labels in images.batches(orders, together):
        chosen = torch.randperm(20, generator=apart)[:5]
        assert torch.equal(batch, crop_and_flip(images.batch(chosen), apart))
        assert torch.equal(labels, images.labels[chosen])


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 1, 28, 28), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 1, 28, 28), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 1, 28, 28), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_images_of_another_shape_or_type_cannot_be_made(pixels, labels) -> None:
    with pytest.raises(ValueError, match="must be"):
        Images(pixels, labels)
