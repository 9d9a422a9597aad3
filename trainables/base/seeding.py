"""One named generator per purpose from one run seed; a new purpose changes no other stream."""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for `purpose`, independent of the seed of every other purpose.

    >>> derive_seed(0, "split") == derive_seed(0, "split") != derive_seed(0, "batches")
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """The NumPy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, purpose))


def torch_generator(
    seed: int, purpose: str, device: "torch.device | str" = "cpu"
) -> "torch.Generator":
    """The torch generator for one purpose, on the device that will draw from it."""
    import torch

    generator = torch.Generator(device)
    generator.manual_seed(derive_seed(seed, purpose))
    return generator


@contextlib.contextmanager
def seeded_torch(seed: int, purpose: str) -> Iterator[None]:
    """Seed torch's global generator for code that takes no generator, as layer initialisation.

    The previous state comes back on exit, so nothing outside notices.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, purpose))
        yield


@contextlib.contextmanager
def seeded_globals(seed: int, purpose: str) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, for code that is not ours.

    All previous states come back on exit.
    """
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - it is what users' code draws from
    try:
        with seeded_torch(seed, purpose):
            small = derive_seed(seed, purpose) % 2**32
            np.random.set_state(np.random.RandomState(small).get_state())  # noqa: NPY002 - as above
            random.setstate(random.Random(small).getstate())
            yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002 - as above
        random.setstate(pythons)
