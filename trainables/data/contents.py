"""Digests of the records: they find copies, and notice when a resumed run has other data.

In memory: all pixels or values.  Files: length, first and last 4 KiB; a data set like ImageNet
is not read whole.  Files that agree in these are read whole before they are called copies; a
change in the middle of a file that keeps its length is not seen by a resumed run.
"""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.base.errors import InvalidInput
from trainables.data.images import Data, ImageFiles, Rows
from trainables.data.split import Indices, Split

ENDS = 4096
"""Bytes read at the beginning and at the end of a file."""

READERS = 16
"""Files read at a time: on a shared disk each waits for the network."""

CHUNK = 1000
"""Files that a reader takes at a time."""

_JPEG, _JPEGS_END = b"\xff\xd8", b"\xff\xd9"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """Digests of all images of a data set, in its order."""

    identities: Sequence[bytes]
    """Digests that a resumed run must find again; they include a file's name."""

    copies: Indices
    """(n,) position of the first image with the same content: its own where it is the first."""

    @classmethod
    def of(cls, images: Data) -> "Contents":
        """Read the images. Raises InvalidInput, with the name, for a file that cannot be used."""
        if not isinstance(images, ImageFiles):
            records = images.values if isinstance(images, Rows) else images.pixels
            digests = [_digest(record.tobytes()) for record in records]
            return cls(identities=digests, copies=_first_positions(digests))
        digests = list(_read_ahead(images))
        identities = [
            _digest(file + digest) for file, digest in zip(images.files, digests, strict=True)
        ]
        counts = Counter(digests)
        alike = [i for i, digest in enumerate(digests) if counts[digest] > 1]
        for position in alike:
            path = images.folder / os.fsdecode(images.files[position])
            digests[position] = _digest(_opened(path, whole=True))
        return cls(identities=identities, copies=_first_positions(digests))

    def hashes(self, labels: Indices, split: Split) -> dict[str, str]:
        """Stored name of each part -> SHA-256 of its images and labels, in their order.

        labels: (n,) as they are in the data.
        """
        found = {}
        numbers = labels.astype("<i8")
        for name, positions in split.named.items():
            digest = hashlib.sha256()
            for position in positions.tolist():
                digest.update(self.identities[position] + numbers[position].tobytes())
            found[name] = digest.hexdigest()
        return found


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _first_positions(digests: Sequence[bytes]) -> Indices:
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(digest, i) for i, digest in enumerate(digests)], np.int64)


def _read_ahead(images: ImageFiles) -> Iterator[bytes]:
    def digests(start: int) -> list[bytes]:
        files = images.files[start : start + CHUNK]
        return [_digest(_opened(images.folder / os.fsdecode(file))) for file in files]

    with ThreadPoolExecutor(READERS) as readers:
        for chunk in readers.map(digests, range(0, len(images.files), CHUNK)):
            yield from chunk


def _opened(path: Path, *, whole: bool = False) -> bytes:
    """A file's length and ends, or all of it. Raises InvalidInput for an unusable image."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if whole:
                return file.read(size)
            first = file.read(ENDS)
            file.seek(max(size - ENDS, min(size, ENDS)))
            last = file.read(ENDS)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}): mend it, or remove it"
        ) from error
    _require_usable(path, first, last or first)
    return size.to_bytes(8, "little") + first + last


def _require_usable(path: Path, first: bytes, last: bytes) -> None:
    """Raise InvalidInput for a file that is not an image, is cut off or exceeds 8 bits.

    A JPEG file with both ends is believed to be whole; any other is opened, not decoded.
    """
    is_jpeg = first.startswith(_JPEG)
    if is_jpeg and _JPEGS_END in last:
        return
    try:
        with Image.open(path) as image:
            mode = image.mode
            if is_jpeg:
                image.load()
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError is PIL's for a bad chunk
        raise InvalidInput(f"{path} cannot be decoded: mend it, or remove it") from error
    if mode.startswith(("I", "F")):  # 16 or 32 bits of grey, which become 8 by cutting off
        raise InvalidInput(
            f"{path} has more than 8 bits of grey (mode {mode}), which would be clipped to 255: "
            "convert such files to 8 bits, scaled"
        )
