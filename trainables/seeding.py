"""One run seed in, one named generator per purpose out: adding a purpose moves no other stream."""

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for `purpose`, independent of every other purpose's.

    >>> derive_seed(0, "split") == derive_seed(0, "split") != derive_seed(0, "batches")
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """The NumPy generator of one purpose."""
    return np.random.default_rng(derive_seed(seed, purpose))


def torch_generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """The torch generator of one purpose, on the device that will draw from it."""
    generator = torch.Generator(device)
    generator.manual_seed(derive_seed(seed, purpose))
    return generator


@contextlib.contextmanager
def seeded_torch(seed: int, purpose: str) -> Iterator[None]:
    """Torch's global generator seeded for code that takes no generator (layer initialisation).

    The previous state comes back on leaving, so nothing outside sees it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, purpose))
        yield
