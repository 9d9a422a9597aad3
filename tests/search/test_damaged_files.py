"""Checkpoints, lists and outputs with bytes changed, lost or added: read, or refused in a line."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from search.member_files import read_positions
from search.outputs import read_outputs, read_references
from tests.test_audit import images
from trainables.base.errors import InvalidInput
from trainables.data.images import Images
from trainables.models.checkpoint import read_checkpoint

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3))
IMAGES = Images(np.zeros((50, 1, 2, 2), dtype=np.uint8), np.zeros(50, dtype=np.int64))


def written(folder: Path, name: str) -> tuple[Path, Callable[[Path], object]]:
    """A sound file, and what reads it."""
    path, state = folder / name, NETWORK.state_dict()
    frame = pd.DataFrame(images(10, 10, 1.0)[0]).add_prefix("c").assign(label=0, is_member=1)
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".pt":
        torch.save(state, path, _use_new_zipfile_serialization=name != "old.pt")
    elif path.suffix == ".npy":
        np.save(path, np.arange(20))
    elif path.suffix == ".npz":
        np.savez_compressed(path, outputs=np.ones((2, 4, 3)), trained_on=np.ones((2, 4)))
        return path, read_references
    elif name.startswith("outputs"):
        (frame.to_csv if name.endswith("csv") else frame.to_parquet)(path, index=False)
        return path, read_outputs
    elif path.suffix == ".parquet":
        pd.DataFrame({"index": range(20)}).to_parquet(path)
    else:
        path.write_text("index\n" + "\n".join(map(str, range(20))))
    if path.suffix in (".pt", ".safetensors"):
        return path, lambda file: read_checkpoint(file, NETWORK)
    return path, lambda file: read_positions(file, IMAGES, "--members")


def damaged(content: bytes, draw: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice([1, 1, 3, 10])):
        at = draw.randrange(len(found) + 1)
        how = draw.random()
        if how < 0.7 and at < len(found):
            found[at] = draw.randrange(256)
        elif how < 0.85:
            del found[at:]
        else:
            found[at:at] = draw.randbytes(draw.randrange(20))
    return bytes(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        *("new.pt", "old.pt", "net.safetensors", "members.npy", "members.csv", "members.parquet"),
        *("outputs.csv", "outputs.parquet", "references.npz"),
    ],
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path, read = written(tmp_path, name)
    read(path)
    content, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        path.write_bytes(damaged(content, draw))
        try:
            read(path)
        except InvalidInput as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - one of many
    assert refused > 30
