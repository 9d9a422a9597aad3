"""Images that stay in their files: the same pixels as torchvision's, whatever reads them ahead."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from trainables.base.errors import InvalidInput
from trainables.base.seeding import seeded_torch
from trainables.data.batches import on_device
from trainables.data.images import ImageFiles
from trainables.data.registry import DATASETS, load_images
from trainables.data.streamed import LEAST_AREA, StreamedImages, random_box
from trainables.training import Epoch, predict

SPEC = DATASETS["imagenet"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def files(imagenet_folder) -> ImageFiles:
    return load_images("imagenet", imagenet_folder)


def streamed(files, decoders=0) -> StreamedImages:
    return on_device(files, SPEC, CPU, decoders)


def test_every_file_of_both_folders_is_listed_with_the_class_of_its_folder(files, imagenet_folder):
    assert len(files.files) == len(files.labels) == 80
    assert (files.labels.dtype, np.bincount(files.labels).tolist()) == (np.int64, [40, 40])
    on_disk = {str(p.relative_to(imagenet_folder)) for p in imagenet_folder.glob("*/*/*.JPEG")}
    assert {name.decode() for name in files.files} == on_disk
    folders = [name.decode().split("/")[1] for name in files.files]
    assert folders == [("n01440764", "n01443537")[label] for label in files.labels]


def test_a_batch_is_what_the_published_weights_were_measured_on(files):
    batch = streamed(files).batch(torch.tensor([5, 60]))
    transform = ResNet18_Weights.IMAGENET1K_V1.transforms(antialias=True)
    for row, position in zip(batch, (5, 60), strict=True):
        with Image.open(files.folder / files.files[position].decode()) as image:
            expected = transform(image.convert("RGB"))
        assert torch.allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("decoders", [0, 2])
@pytest.mark.parametrize("seed", [None, 3])
def test_processes_that_read_ahead_change_no_pixel(files, decoders, seed):
    def batches(count):
        parts = torch.split(torch.tensor([7, 70, 7, 1, 33]), 2)
        crops = None if seed is None else torch.Generator().manual_seed(seed)
        return list(streamed(files, count).batches(iter(parts), crops))

    found, expected = batches(decoders), batches(0)
    assert [len(labels) for _, labels in found] == [2, 2, 1]
    for (pixels, labels), (same, as_before) in zip(found, expected, strict=True):
        assert torch.equal(pixels, same)
        assert torch.equal(labels, as_before)
    assert found[0][1].tolist() == files.labels[[7, 70]].tolist()


def test_streaming_leaves_torchs_global_generator_alone(files):
    before = torch.get_rng_state()
    list(streamed(files).batches([torch.tensor([1])], torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_two_crops_of_one_image_differ(files):
    crops = torch.Generator().manual_seed(0)
    ((pixels, _),) = streamed(files).batches([torch.tensor([3, 3])], crops)
    assert not torch.equal(pixels[0], pixels[1])


@pytest.mark.parametrize("size", [(40, 80), (500, 375), (1, 1)])
def test_random_boxes_lie_in_the_image_and_keep_enough_of_it(size):
    generator = np.random.default_rng(0)
    width, height = size
    for _ in range(300):
        top, left, tall, wide = random_box(width, height, generator)
        assert 0 <= top <= top + tall <= height
        assert 0 <= left <= left + wide <= width
        assert tall * wide >= 0.5 * LEAST_AREA * width * height  # cut to the image, and rounded


def test_a_network_trains_and_predicts_on_streamed_images(files):
    images = streamed(files)
    with seeded_torch(0, "test"):
        linear = torch.nn.Linear(48, 1000)
    network = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), linear)
    epoch = Epoch(
        images,
        torch.arange(0, 80, 4),
        batch_size=8,
        augment=True,
        generator=torch.Generator().manual_seed(0),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    first, _ = epoch.train(network, optimizer, learning_rate=lambda _: 0.01)
    second, _ = epoch.train(network, optimizer, learning_rate=lambda _: 0.01)
    assert second < first
    order = torch.tensor([79, 0])
    both, last = predict(network, images, order), predict(network, images, order[1:])
    assert torch.allclose(both[1:], last, atol=1e-6)


def test_labels_may_be_changed_without_touching_a_file(files):
    changed = dataclasses.replace(files, labels=files.labels[::-1].copy())
    assert streamed(changed).labels.tolist() == files.labels[::-1].tolist()


def copied(imagenet_folder, target):
    for path in imagenet_folder.glob("*/*/*.JPEG"):
        copy = target / path.relative_to(imagenet_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return target


def test_a_damaged_file_is_named(imagenet_folder, tmp_path):
    folder = copied(imagenet_folder, tmp_path)
    victim = sorted(folder.glob("train/*/*.JPEG"))[0]
    victim.write_bytes(b"no picture")
    files = load_images("imagenet", folder)
    position = [name.decode() for name in files.files].index(str(victim.relative_to(folder)))
    with pytest.raises(ValueError, match=rf"{victim.name} cannot be decoded"):
        streamed(files).batch(torch.tensor([position]))


def test_folders_that_do_not_hold_imagenet_are_one_line(imagenet_folder, tmp_path):
    with pytest.raises(InvalidInput, match="--data-dir must name the folder that holds train"):
        load_images("imagenet", tmp_path)
    folder = copied(imagenet_folder, tmp_path)
    (folder / "val" / "n01443537").rename(folder / "val" / "n01484850")
    with pytest.raises(InvalidInput, match="only one has images of n01443537, n01484850"):
        load_images("imagenet", folder)
    (folder / "val" / "n01484850").rename(folder / "val" / "n01443537")
    for path in (folder / "val" / "n01443537").iterdir():
        path.unlink()
    with pytest.raises(InvalidInput, match="only one has images of n01443537") as caught:
        load_images("imagenet", folder)
    assert "\n" not in str(caught.value)
