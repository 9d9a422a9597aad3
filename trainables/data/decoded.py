"""Decoded images of a data set of files, kept on each machine: every file is decoded there once.

One file of NumPy's own format for each image, since it is read in any order and by many processes,
which formats that stream (WebDataset) or need one writer (LMDB) are not made for; FFCV, which is,
has to be compiled, and TFRecord needs TensorFlow.  A file is written whole or not at all, so a kill
leaves no more than a `.part`, and the page cache of the machine serves all trials at once.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import functional

from trainables.base.errors import UNREADABLE

LEFT_FREE = 0.05
"""The share of a disk that the cache leaves free."""

log = logging.getLogger(__name__)


class DecodedImages:
    """Files -> RGB images whose shorter side is `side`; picklable, so that processes share it."""

    def __init__(self, side: int, cache: Path | None) -> None:
        """side: pixels.  cache: where decoded images are kept, `~` is this user's home; or None."""
        self._side = side
        self._cache = cache

    def __call__(self, path: Path) -> Image.Image:
        """The image in a file, scaled. Raises ValueError naming the file that cannot be decoded."""
        kept = self._kept(path)
        if kept is None:
            return _scaled(path, self._side)
        with contextlib.suppress(OSError, *UNREADABLE):  # absent, or damaged
            return Image.fromarray(np.load(kept))
        image = _scaled(path, self._side)
        self._keep(kept, np.asarray(image))
        return image

    def _kept(self, path: Path) -> Path | None:
        """Where the decoded image is, or will be: a changed file has another place."""
        if self._cache is None:
            return None
        try:
            found, home = path.stat(), self._cache.expanduser()
        except OSError:  # decoding will say which file
            return None
        except RuntimeError as error:  # this user has no home
            self._give_up(str(error))
            return None
        what = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{self._side}"
        name = hashlib.sha256(os.fsencode(what)).hexdigest()
        return home / name[:2] / f"{name[2:]}.npy"

    def _keep(self, kept: Path, pixels: NDArray[np.uint8]) -> None:
        """Write it, if the disk has room; what cannot be kept is decoded again the next time."""
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk = shutil.disk_usage(kept.parent)
            if disk.free < LEFT_FREE * disk.total + pixels.nbytes:
                self._give_up(f"its disk has {disk.free / 1e9:.1f} GB left")
                return
            with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".part", delete=False) as file:
                try:
                    np.save(file, pixels)
                    file.close()
                    Path(file.name).replace(kept)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        log.warning("no more decoded images are kept in %s: %s", self._cache, why)
        self._cache = None


def _scaled(path: Path, side: int) -> Image.Image:
    try:
        image = pil_loader(path)
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError is PIL's for a bad chunk
        raise ValueError(f"{path} cannot be decoded: mend it, or remove it") from error
    scaled: Image.Image = functional.resize(image, side)
    return scaled
