"""Reads a network's outputs, with labels and membership, from CSV, parquet or npz files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.base.errors import UNREADABLE, InvalidInput, one_line

LABEL, MEMBER = "label", "is_member"

Outputs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(n, k) outputs, (n,) labels, (n,) membership."""


def read_outputs(path: Path) -> Outputs:
    """Outputs, labels and membership. Raises InvalidInput where the file has them not."""
    if path.suffix == ".npz":
        outputs, labels, is_member = _arrays(path, "outputs", "labels", "is_member")
        return outputs, labels, is_member
    if path.suffix not in (".csv", ".parquet"):
        raise InvalidInput(f"{path} is no .csv, .parquet or .npz file")
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, *UNREADABLE) as error:
        raise InvalidInput(f"{path} cannot be read: {one_line(error)[:200]}") from error
    missing = [name for name in (LABEL, MEMBER) if name not in table]
    if missing:
        raise InvalidInput(f"{path} has no column {' and no '.join(missing)}")
    classes = table.drop(columns=[LABEL, MEMBER])
    unnamed = [str(name) for name in classes if str(name).startswith("Unnamed")]
    if unnamed:
        raise InvalidInput(
            f"{path} has a column without a name, which would be taken for a class: write it "
            "without its index, as by to_csv(..., index=False)"
        )
    wrong = [str(name) for name in classes if not pd.api.types.is_numeric_dtype(classes[name])]
    if wrong:
        raise InvalidInput(
            f"{path}: column {wrong[0]} is not numeric; beside {LABEL} and {MEMBER} there is one "
            "column for each class"
        )
    return classes.to_numpy(), table[LABEL].to_numpy(), table[MEMBER].to_numpy()


def read_references(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (r, n, k) and membership (r, n) of reference models. Raises InvalidInput."""
    outputs, trained_on = _arrays(path, "outputs", "trained_on")
    return outputs, trained_on


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: dict[str, Any] = dict(arrays)
    except (OSError, *UNREADABLE) as error:
        raise InvalidInput(f"{path} cannot be read: {one_line(error)[:200]}") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise InvalidInput(f"{path} has no array {' and no '.join(missing)}")
    return [found[name] for name in names]
