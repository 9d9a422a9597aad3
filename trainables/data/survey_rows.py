"""What examining rows finds: their values, columns that say nothing, columns of unlike scales."""

import dataclasses
import math

import numpy as np

from trainables.base import noun
from trainables.data.images import Rows

UNLIKE = 100.0
"""Standard deviations of two columns are unlike by this factor: the smaller one hardly moves a
network that gets both as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowSample:
    """Statistics of all rows, as the network gets them."""

    count: int
    shape: tuple[int, ...]
    least: float
    most: float

    different: int
    """Different values among all."""

    constant: int
    """Columns, or positions of a row of more dimensions, that hold one value throughout."""

    spreads: tuple[float, float] | None
    """Least and largest standard deviation of the columns that vary; None for tokens."""

    @classmethod
    def of(cls, rows: Rows) -> "RowSample":
        """Look at all of them."""
        values = rows.values.reshape(len(rows.values), -1)
        varies = values.min(axis=0) != values.max(axis=0)
        spreads = None
        if values.dtype != np.int64 and varies.any():
            each = values[:, varies].std(axis=0, dtype=np.float64)
            spreads = float(each.min()), float(each.max())
        return cls(
            count=len(values),
            shape=rows.values.shape[1:],
            least=float(values.min()),
            most=float(values.max()),
            different=len(np.unique(values)),
            constant=int((~varies).sum()),
            spreads=spreads,
        )

    @property
    def are_tokens(self) -> bool:
        """Whether the values are ids, whose sizes mean nothing."""
        return self.spreads is None

    @property
    def columns(self) -> str:
        """What the values of a row are called."""
        return "columns" if len(self.shape) == 1 else "positions"

    def in_words(self) -> str:
        """One line for a plan."""
        shape = " x ".join(map(str, self.shape))
        what = "token ids" if self.are_tokens else "values"
        return (
            f"{self.count:,} {noun.many()} of {shape} {what}, {self.different:,} different ones, "
            f"{self.least:g} to {self.most:g}"
        )

    def notes(self) -> list[str]:
        """Sentences that the user should read."""
        notes = [
            f"{noun.many().capitalize()} reach the network as the data set gives them, neither "
            f"normalised nor augmented: "
            f"{'token ids' if self.are_tokens else 'values'} from {self.least:g} to {self.most:g}"
        ]
        if self.spreads is None:
            return notes
        if self.constant:
            notes.append(
                f"{self.constant:,} of {math.prod(self.shape):,} {self.columns} hold one value "
                "throughout"
            )
        if self.spreads[1] > UNLIKE * self.spreads[0]:
            notes.append(
                f"The standard deviations of the {self.columns} go from {self.spreads[0]:.3g} to "
                f"{self.spreads[1]:.3g}: what varies little hardly moves a network; scale them "
                "alike in the data set"
            )
        return notes
