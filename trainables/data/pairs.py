"""A user's torch `Dataset` of (record, label) pairs, checked item by item and held in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.data import items
from trainables.data.images import DataAbsent

Shape = tuple[int, ...]

Check = Callable[[object], Tensor]
"""Returns a record as it is, or raises InvalidInput; from trainables/data/items.py."""

READ_AGAIN = 64
"""About how many items are read twice, to see whether the data set repeats itself."""


class Pairs(Protocol):
    """What we use of a `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...  # noqa: ANN401 - checked below


def collected(
    name: str, make: Callable[[Path], Pairs], folder: Path, n_classes: int, check: Check
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """All records of the data set `name`, (n, ...) of the type that `check` lets pass, and labels.

    make: folder of the data -> data set.  Raises InvalidInput, naming the first item that is wrong.
    """
    dataset, announced = _made(name, make, folder)
    records, labels = [], []
    for position in range(announced):
        record, label = _item(name, dataset, position, n_classes, check)
        records.append(record.copy())  # a data set may fill one buffer again and again
        labels.append(label)
    if not records:
        raise InvalidInput(f"data set {name!r} has no items")
    for position in range(0, announced, max(1, announced // READ_AGAIN)):
        record, label = _item(name, dataset, position, n_classes, check)
        if label != labels[position] or not np.array_equal(record, records[position]):
            what = "label" if label != labels[position] else noun.one()
            raise InvalidInput(
                f"data set {name!r}, item {position}: its {what} changes when it is read a "
                "second time: do not augment there"
            )
    _require_length(name, dataset, announced)
    return np.stack(records), np.array(labels, dtype=np.int64)


def _made(name: str, make: Callable[[Path], Pairs], folder: Path) -> tuple[Pairs, int]:
    try:
        dataset = make(folder)
        return dataset, len(dataset)
    except (FileNotFoundError, ConnectionError, URLError) as error:
        raise DataAbsent(f"data set {name!r} failed: {_cause(error)}") from error
    except (Exception, SystemExit) as error:
        absent = isinstance(error, RuntimeError) and "not found" in str(
            error
        )  # as torchvision says
        kind = DataAbsent if absent else InvalidInput
        raise kind(f"data set {name!r} failed: {_cause(error)}") from error


def _item(
    name: str, dataset: Pairs, position: int, n_classes: int, check: Check
) -> tuple[NDArray[Any], int]:
    try:
        record, label = _pair(dataset[position])
        return check(record).numpy(), items.label(n_classes, label)
    except InvalidInput as wrong:
        raise InvalidInput(f"data set {name!r}, item {position}: {wrong}") from wrong
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            f"data set {name!r} failed at item {position}: {_cause(error)}"
        ) from error


def _require_length(name: str, dataset: Pairs, announced: int) -> None:
    if (length := len(dataset)) != announced:
        raise InvalidInput(
            f"data set {name!r} had {announced} items before they were read and {length} after: "
            "give it a length that stays"
        )


def _cause(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _pair(item: object) -> tuple[object, object]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InvalidInput(f"it must be a pair ({noun.one()}, label), not {type(item).__name__}")
    return item[0], item[1]
