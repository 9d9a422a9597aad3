"""How far a figure of one model, or of a few, lies from its expectation, estimated from the table.

A two-way table of a figure, vectors x models of common halves, splits into what all models of a
half share (the luck of the split and of its dense model, common to all vectors and so without
consequence for their order) and a rest, the luck of one training.  Halves are columns.
"""

import dataclasses
import math

import numpy as np
from scipy.optimize import nnls

NEAR = 0.1
"""Loss of accuracy up to which rows tell the size of the noise; beyond, networks collapse."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations of a single column of a figure."""

    common: float
    """Of what all vectors of a column share."""

    floor: float
    slope: float
    """Of the rest: floor + slope * max(expectation, 0)."""

    def own(self, expected: float) -> float:
        """Standard deviation of the rest of a vector with this expectation."""
        return self.floor + self.slope * max(expected, 0.0)


def noise_of(values: np.ndarray, expected: np.ndarray) -> Noise:
    """values: (vectors, columns) of a figure.  expected: (vectors,), what the noise grows with."""
    vectors, columns = values.shape
    of_columns = values.mean(axis=0)
    rest = values - values.mean(axis=1, keepdims=True) - of_columns + values.mean()
    rest *= math.sqrt(columns / (columns - 1))
    absolute = np.abs(rest) * math.sqrt(math.pi / 2)  # E|N(0, s)| = s sqrt(2 / pi)
    levels = np.maximum(np.repeat(expected, columns), 0.0)
    (floor, slope), _ = nnls(np.column_stack([np.ones_like(levels), levels]), absolute.ravel())
    shared = of_columns.var(ddof=1) - float(np.mean(rest**2)) / vectors
    return Noise(common=math.sqrt(max(shared, 0.0)), floor=float(floor), slope=float(slope))


def image_luck(parts: np.ndarray) -> float:
    """Standard deviation of a vector's accuracy on one part's images that its models share.

    parts: (vectors, parts) mean accuracies lost on parts of equal size.  What all vectors share,
    that a part is harder, is left out.  The luck of training hardly enters, since a model is as
    good on one part as on another; what does makes this a little too large.
    """
    rest = parts - parts.mean(axis=1, keepdims=True) - parts.mean(axis=0) + parts.mean()
    count = parts.shape[1]
    return float(np.sqrt(np.mean(rest**2) * count / (count - 1)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToldErrors:
    """What an audit of m models says that its standard error is: sqrt(images + models / m)."""

    images: float
    models: float

    @classmethod
    def of(cls, four: np.ndarray, eight: np.ndarray) -> "ToldErrors":
        """From the standard errors told of four and of eight models of the same vectors, (k,)."""
        few, many = float(np.mean(four**2)), float(np.mean(eight**2))
        models = max(8 * (few - many), 0.0)
        return cls(images=max(many - models / 8, 0.0), models=models)

    def told(self, models: int, images: float = 1.0) -> float:
        """Standard error of `models` models on `images` times as many images."""
        return math.sqrt(self.images / images + self.models / models)
