"""The trials that no other trial beats on accuracy and excess gain at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(accuracies: ArrayLike, excess_gains: ArrayLike) -> NDArray[np.bool_]:
    """Mark the points that no other dominates, by being as good in both and better in one.

    accuracies: (trials,), larger is better. excess_gains: (trials,), nats, smaller is better.
    Returns (trials,); a point with a NaN is never marked, equal points are marked together.

    >>> non_dominated([0.9, 0.8, 0.8], [0.05, 0.02, 0.06]).tolist()
    [True, True, False]
    """
    accuracy = np.asarray(accuracies, dtype=np.float64)
    gain = np.asarray(excess_gains, dtype=np.float64)
    if accuracy.shape != gain.shape or accuracy.ndim != 1:
        raise ValueError(f"need two equally long vectors, got {accuracy.shape} and {gain.shape}")
    front = np.zeros(accuracy.shape, dtype=np.bool_)
    known = np.flatnonzero(np.isfinite(accuracy) & np.isfinite(gain))
    least, holder = np.inf, np.nan  # least gain so far and the accuracy of the point that has it
    for index in known[np.lexsort((gain[known], -accuracy[known]))]:
        if gain[index] < least:
            least, holder = gain[index], accuracy[index]
        front[index] = gain[index] == least and accuracy[index] == holder
    return front
