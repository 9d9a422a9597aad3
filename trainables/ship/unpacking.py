"""Reads a sparse file back with NumPy and zstandard alone; the card beside a file shows this code.

Every name here is imported in the code that the card shows, `CODE`.
"""

import inspect
import json
from pathlib import Path

import numpy as np
import zstandard


def load_sparse(path: Path | str) -> dict[str, np.ndarray]:
    """Each tensor's name and its values."""
    head, _, data = zstandard.decompress(Path(path).read_bytes()).partition(b"\n")
    weights, at = {}, 0
    for name, shape, dtype, stored, scale, count, bits, codes in json.loads(head):
        values = np.frombuffer(data, stored, count, at)
        packed = np.frombuffer(data, np.uint8, -(-codes * bits // 8), at + values.nbytes)
        gaps = np.unpackbits(packed, count=codes * bits).reshape(-1, bits) @ (1 << np.arange(bits))
        found, at = gaps < 2**bits - 1, at + values.nbytes + len(packed)
        weights[name] = np.zeros(shape, dtype)
        places = np.cumsum(gaps + found)[found] - 1
        weights[name].reshape(-1)[places] = values.astype(dtype) * scale
    return weights


CODE = "\n".join(
    [
        "import json",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "import zstandard",
        "",
        "",
        inspect.getsource(load_sparse),
    ]
)
"""What a reader of the file needs, to be pasted anywhere."""
