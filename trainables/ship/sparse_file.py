r"""A network's non-zero weights alone, in one small file: where they are, and what they are.

Each tensor is a list of values and of the gaps before them, in its own order.  A gap is the number
of zeros since the last value, in `bits` bits; the largest code stands for as many zeros and no
value.  A tensor's `bits` are those that take least room: at 10% density 5 bits a weight, where
the positions' entropy is 4.7; for a bias 1 bit, a bitmap.  The file is a line of JSON, one entry
[name, shape, dtype, stored dtype, scale, values, bits, codes] a tensor, then each tensor's values
and codes, all under zstd, which packs what is left of order in the values.  (zstandard is a small
wheel without dependencies; Python has a zstd of its own only from 3.14 on.)
"""

import json
from collections.abc import Mapping

import numpy as np
import zstandard

FLOAT16, INT8 = "float16", "int8"

PRECISIONS = (INT8, FLOAT16)
"""How weights are stored, the smaller first."""

LEVEL = 19
"""Of zstd: the file is written once."""

MOST_BITS = 24
"""Of a gap: no tensor here has longer ones than that many bits count."""


def sparse_file(weights: Mapping[str, np.ndarray], precision: str) -> bytes:
    """The file's bytes.

    precision: of floating-point matrices and kernels.  int8 takes a step of each tensor's largest
    weight / 127.  Vectors, such as biases and norms, are few and keep float16; what float16 cannot
    hold keeps float32, and what is no floating-point number stays as it is.
    """
    tensors = [_packed(name, value, precision) for name, value in weights.items()]
    head = json.dumps([entry for entry, _ in tensors], separators=(",", ":"))
    content = b"\n".join([head.encode(), b"".join(data for _, data in tensors)])
    return zstandard.ZstdCompressor(level=LEVEL).compress(content)


def _packed(name: str, weight: np.ndarray, precision: str) -> tuple[list[object], bytes]:
    """The tensor's entry in the header, and its bytes."""
    stored, scale = _stored(weight, precision)
    flat = stored.ravel()
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    bits = fewest_bits(gaps)
    codes = gap_codes(gaps, bits)
    entry = [name, list(weight.shape), weight.dtype.name, stored.dtype.name, scale]
    digits = (codes[:, None] >> np.arange(bits)) & 1
    data = flat[places].tobytes() + np.packbits(digits.astype(np.uint8)).tobytes()
    return [*entry, len(places), bits, len(codes)], data


def _stored(weight: np.ndarray, precision: str) -> tuple[np.ndarray, float]:
    """The numbers to store, and what each is multiplied with."""
    if not np.issubdtype(weight.dtype, np.floating):
        return weight, 1
    largest = float(np.abs(weight).max(initial=0.0))
    scale = largest / 127
    if precision == INT8 and weight.ndim > 1 and 0 < scale < np.inf:
        return np.rint(weight / scale).astype(np.int8), scale
    fits = largest <= float(np.finfo(np.float16).max)
    return weight.astype(np.float16 if fits else np.float32), 1


def fewest_bits(gaps: np.ndarray) -> int:
    """The bits a gap for which all codes together take least room."""
    sizes = {bits: bits * int((gaps // (2**bits - 1) + 1).sum()) for bits in range(1, MOST_BITS)}
    return min(sizes, key=sizes.__getitem__)


def gap_codes(gaps: np.ndarray, bits: int) -> np.ndarray:
    """The codes of gaps; the largest code counts 2^bits - 1 zeros and is followed by the rest.

    >>> gap_codes(np.array([0, 2, 3, 7]), bits=2).tolist()
    [0, 2, 3, 0, 3, 3, 1]
    """
    whole, rest = np.divmod(gaps, 2**bits - 1)
    codes = np.full(int(whole.sum()) + len(gaps), 2**bits - 1)
    codes[np.cumsum(whole + 1) - 1] = rest
    return codes
