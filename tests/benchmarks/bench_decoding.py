"""Images a second from JPEG files, decoded for every pass against kept decoded, in one run.

`python -m tests.benchmarks.bench_decoding [--images N] [--processes N]` writes random JPEGs of
ImageNet's usual size, 500 x 375 and about 100 KB, and reads them as a training epoch does.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainables.data.batches import ImageBatches, on_device
from trainables.data.images import ImageFiles
from trainables.data.registry import DATASETS

WIDTH, HEIGHT = 500, 375
BATCH = 64
ROUNDS = 3


def write_images(folder: Path, count: int) -> ImageFiles:
    """Smooth noise at quality 95, about 100 KB each."""
    generator = np.random.default_rng(0)
    names = [f"{number:05d}.JPEG" for number in range(count)]
    for name in names:
        coarse = generator.integers(0, 256, (HEIGHT // 5, WIDTH // 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(
            folder / name, quality=95
        )
    return ImageFiles(folder, np.array(names, np.bytes_), np.zeros(count, np.int64))


def seconds_of_pass(images: ImageBatches, count: int, seed: int) -> float:
    """One training pass, crops and mirrors included."""
    parts = torch.split(torch.randperm(count, generator=torch.Generator().manual_seed(seed)), BATCH)
    began = time.perf_counter()
    for _ in images.batches(parts, torch.Generator().manual_seed(seed)):
        pass
    return time.perf_counter() - began


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--processes", type=int, default=0)
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_images(folder, given.images)
        kept = ImageFiles(folder, files.files, files.labels, cache=folder / "cache")
        readers = {
            what: on_device(
                one, DATASETS["imagenet"], torch.device("cpu"), decoders=given.processes
            )
            for what, one in {"decoded every time": files, "kept decoded": kept}.items()
        }
        for images in readers.values():
            seconds_of_pass(images, given.images, 0)  # fills the cache, starts the processes
        taken: dict[str, list[float]] = {what: [] for what in readers}
        for number in range(ROUNDS):
            for what, images in readers.items():
                taken[what].append(seconds_of_pass(images, given.images, 1 + number))
        rates = {what: given.images / float(np.median(one)) for what, one in taken.items()}
        for what, rate in rates.items():
            print(f"{what}: {rate:.0f} images/s ({given.processes} processes beside this one)")
        print(f"{rates['kept decoded'] / rates['decoded every time']:.1f} times as many")


if __name__ == "__main__":
    main()
