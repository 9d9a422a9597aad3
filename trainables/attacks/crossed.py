"""What many models say of the same images: estimates with errors of crossed clusters.

A cross-audit gives a term of eq. 1 for each model and image. Two clusters cross in that table: all
terms of one model share the luck of its training, all terms of one image share that image. An error
that saw only one of the two would be too small (Cameron, Gelbach and Miller 2011, J. Bus. Econ.
Stat. 29:238; for a balanced table with random effects, Searle, Casella and McCulloch 1992, 4.3).

Models 2p and 2p + 1 trained on complementary halves, so each pair of models sees each image once
from inside and once from outside, and z_pi, the sum of both terms, has G as its mean over the
complete table. What tells members from non-members and the luck of the split cancel in it.

Notation: P pairs, m = 2P models, n images, C images that are no copies of one another; z (P, n);
M_P, M_I, M_E the mean squares of pairs, images and residuals of z. Then
Var(mean z) = (M_P + M_I - M_E) / (P C), each component of variance being at least zero. M_P also
uses the differences within pairs, which hold as much of the models' luck, and so has up to m - 1
degrees of freedom; those of the whole follow Satterthwaite (1946, Biometrics Bulletin 2:110).
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trainables.attacks.gain import NO_LEAK
from trainables.base import noun
from trainables.config import FEWEST_MODELS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over models and images with its standard error and degrees of freedom."""

    value: float
    standard_error: float
    degrees_of_freedom: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval, not clipped to the possible range."""
        reach = _quantile(self.degrees_of_freedom, level) * self.standard_error
        return self.value - reach, self.value + reach


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two means of the same models and images, with Fieller's interval (1954)."""

    numerator: float
    denominator: float

    covariance: Floats
    """(2, 2) of numerator and denominator."""

    degrees_of_freedom: float

    @property
    def value(self) -> float:
        """The ratio; NaN where the denominator is exactly zero."""
        return self.numerator / self.denominator if self.denominator else math.nan

    @property
    def standard_error(self) -> float:
        """By the delta method; of use only where the denominator is well away from zero."""
        if not self.denominator:
            return math.inf
        direction = np.array([1.0, -self.value])
        return math.sqrt(direction @ self.covariance @ direction) / abs(self.denominator)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """All R for which numerator - R denominator is not distinguishable from zero.

        (-inf, inf) where the denominator itself is not: the data then do not bound the ratio.
        """
        means = np.array([self.numerator, self.denominator])
        squared = _quantile(self.degrees_of_freedom, level) ** 2
        (c, b), (_, a) = np.outer(means, means) - squared * self.covariance
        if a <= 0 or not self.denominator:
            return -math.inf, math.inf
        root = math.sqrt(max(b * b - a * c, 0.0))  # never negative but for rounding
        return float((b - root) / a), float((b + root) / a)


@dataclasses.dataclass(frozen=True, eq=False)
class Terms:
    """The terms of eq. 1 of models of one kind on common images."""

    term: Floats
    """(m, n) nats: log f_A of a member, log(1 - f_A) of a non-member."""

    trained_on: Bools
    """(m, n): True where the model trained on the image; models 2p and 2p + 1 are complementary."""

    copies: NDArray[np.integer] | None = None
    """(n,) equal where two images are copies of one; None where no two are."""

    def __post_init__(self) -> None:
        require_pairs(self.trained_on)
        if self.term.shape != self.trained_on.shape:
            raise ValueError(f"terms {self.term.shape} do not fit halves {self.trained_on.shape}")
        if not np.isfinite(self.term).all():
            raise ValueError(f"{int((~np.isfinite(self.term)).sum())} terms are not finite")
        if self.copies is not None and self.copies.shape != self.term.shape[1:]:
            raise ValueError(
                f"copies {self.copies.shape} do not fit {self.term.shape[1]} {noun.many()}"
            )
        if self.copies is not None and len(np.unique(self.copies)) < 2:
            raise ValueError(f"all {noun.many()} are copies of one")


def require_pairs(trained_on: Bools) -> None:
    """Raise ValueError unless (m, n) `trained_on` holds two complementary pairs of models or more.

    Every image is then inside exactly half of the models.
    """
    if trained_on.ndim != 2 or trained_on.dtype != np.bool_:
        raise ValueError(
            f"halves must be bool (models, images), got {trained_on.dtype} {trained_on.shape}"
        )
    models, images = trained_on.shape
    if models % 2 or models < FEWEST_MODELS:
        raise ValueError(f"models come in pairs, at least {FEWEST_MODELS} models, got {models}")
    if images < 2:
        raise ValueError(f"at least two {noun.many()} are needed, got {images}")
    same = np.flatnonzero((trained_on[::2] == trained_on[1::2]).any(axis=1))
    if len(same):
        first = 2 * int(same[0])
        raise ValueError(f"models {first} and {first + 1} do not have complementary halves")


def by_side(values: Floats, trained_on: Bools) -> tuple[Floats, Floats]:
    """Of each pair, the value of the model that is inside the image, and of the one outside.

    values, trained_on: (m, n).  Returns two (P, n).
    """
    first, second = values[::2], values[1::2]
    inside = trained_on[::2]
    return np.where(inside, first, second), np.where(inside, second, first)


def mean_gain(terms: Terms) -> Estimate:
    """G of eq. 1 in nats, averaged over the complete table: the mean of the models' own gains."""
    variance, degrees = _Components.of([terms]).variance(np.ones(1))
    return Estimate(_gain(terms), math.sqrt(variance), degrees)


def _gain(terms: Terms) -> float:
    return 2 * float(terms.term.mean())  # half of all terms are of members


def excess(terms: Terms) -> Estimate:
    """G + log 4 in nats: 0 without a leak."""
    gain = mean_gain(terms)
    return dataclasses.replace(gain, value=gain.value - NO_LEAK)


def difference(first: Terms, second: Terms) -> Estimate:
    """Gain of the first kind of models less that of the second, in pairs on common halves.

    Raises ValueError where halves or images differ.
    """
    _require_common(first, second)
    variance, degrees = _Components.of([first, second]).variance(np.array([1.0, -1.0]))
    return Estimate(_gain(first) - _gain(second), math.sqrt(variance), degrees)


def ratio(first: Terms, second: Terms) -> Ratio:
    """Excess gain of the first kind of models over that of the second, in pairs on common halves.

    Raises ValueError where halves or images differ.
    """
    _require_common(first, second)
    numerator, denominator = _gain(first) - NO_LEAK, _gain(second) - NO_LEAK
    components = _Components.of([first, second])
    direction = np.array([denominator, -numerator])  # of the ratio's influence, but for its length
    _, degrees = components.variance(direction)
    return Ratio(numerator, denominator, components.covariance(direction), degrees)


def paired_drop(correct: Bools, correct_later: Bools) -> Estimate:
    """Accuracy of the first kind of models less that of the second, on common halves and images.

    Both: (m, images) True where a model classifies an image rightly; model t of both trained on the
    same half. Returns a fraction, positive where the second is less accurate.
    """
    if correct.shape != correct_later.shape or correct.ndim != 2 or min(correct.shape) < 2:
        raise ValueError(
            f"need two equal tables (models, images), got {correct.shape} and {correct_later.shape}"
        )
    table = correct.astype(np.float64) - correct_later
    centred = table - table.mean()
    components = _Components.of_table(centred[None])
    variance, degrees = components.variance(np.ones(1))
    return Estimate(float(table.mean()), math.sqrt(variance), degrees)


def unseen_drop(
    validation: tuple[Bools, Bools],
    audited: tuple[Bools, Bools],
    trained_on: Bools,
    copies: NDArray[np.integer] | None = None,
) -> Estimate:
    """`paired_drop` on all images that a model did not train on, half of the audited ones too.

    validation: (m, v), audited: (m, n) what the first and the second kind of models classify
    correctly.  trained_on, copies: as in `Terms`.  Of each pair of models one is outside an audited
    image, and both are outside a validation image, so the rows of the table are the pairs.
    """
    require_pairs(trained_on)
    kept, asked = (one[0].astype(np.float64) - one[1] for one in (validation, audited))
    if asked.shape != trained_on.shape or len(kept) != len(asked):
        raise ValueError(
            f"tables {kept.shape} and {asked.shape} do not fit halves {trained_on.shape}"
        )
    outside = _summed_over_copies(by_side(asked, trained_on)[1][None], copies)[0]
    table = np.concatenate([(kept[::2] + kept[1::2]) / 2, outside], axis=1)
    mean = float(table.mean())
    variance, degrees = _Components.of_table(table[None] - mean).variance(np.ones(1))
    return Estimate(mean, math.sqrt(variance), degrees)


def mean_accuracy(correct: Bools) -> Estimate:
    """The mean accuracy of models on common images, as a fraction.

    correct: (m, images) True where a model classifies an image rightly.
    """
    table = correct.astype(np.float64)
    mean = float(table.mean())
    variance, degrees = _Components.of_table(table[None] - mean).variance(np.ones(1))
    return Estimate(mean, math.sqrt(variance), degrees)


@dataclasses.dataclass(frozen=True, eq=False)
class _Components:
    """Mean squares and products of k centred tables (rows, columns), each (k, k)."""

    rows: Floats
    columns: Floats
    residual: Floats
    shape: tuple[int, int]
    within: int = 0
    """How many differences within pairs were pooled into `rows`."""

    @classmethod
    def of_table(cls, tables: Floats) -> "_Components":
        """tables: (k, rows, columns), of mean zero."""
        count, rows, columns = tables.shape
        row_means, column_means = tables.mean(axis=2), tables.mean(axis=1)
        rest = tables - row_means[:, :, None] - column_means[:, None, :]
        flat = rest.reshape(count, -1)
        return cls(
            rows=columns * row_means @ row_means.T / (rows - 1),
            columns=rows * column_means @ column_means.T / (columns - 1),
            residual=flat @ flat.T / ((rows - 1) * (columns - 1)),
            shape=(rows, columns),
        )

    @classmethod
    def of(cls, kinds: list[Terms]) -> "_Components":
        """Of z of each kind of models; the differences within pairs join the rows."""
        halves, copies = kinds[0].trained_on, kinds[0].copies
        sides = np.stack([by_side(kind.term, halves) for kind in kinds])  # (k, 2, P, n)
        sides -= sides.mean(axis=(2, 3), keepdims=True)
        between = cls.of_table(_summed_over_copies(sides.sum(axis=1), copies))
        pairs, columns = between.shape
        apart = sides - sides.mean(axis=2, keepdims=True)
        sign = np.where(halves[::2], 1.0, -1.0)
        within = (sign * (apart[:, 0] - apart[:, 1])).mean(axis=2)  # (k, P)
        # An image's own mean over the P models of a side is taken off, and 1/P of each model
        # with it: their luck shrinks by 1 - 1/P, the variance of the residuals by as much.
        kept = 1 - 1 / pairs
        product = columns * within @ within.T / pairs
        product = (product - kept * between.residual) / kept**2 + between.residual
        pooled = ((pairs - 1) * between.rows + pairs * product) / (2 * pairs - 1)
        return dataclasses.replace(between, rows=pooled, within=pairs)

    def covariance(self, direction: Floats) -> Floats:
        """(k, k) of the tables' means, the components of variance that `direction` shows kept."""
        total = self.residual.copy()
        for part in (self.rows, self.columns):
            above = part - self.residual
            if direction @ above @ direction > 0:
                total += above
        rows, columns = self.shape
        return total / (rows * columns)

    def variance(self, direction: Floats) -> tuple[float, float]:
        """Of the mean of the tables' combination, with its degrees of freedom."""
        cells = self.shape[0] * self.shape[1]
        variance = float(direction @ self.covariance(direction) @ direction)
        spread = self._row_spread(direction)
        spread += float(direction @ self.columns @ direction) ** 2 / (self.shape[1] - 1)
        return variance, (variance * cells) ** 2 / spread if spread > 0 else math.inf

    def _row_spread(self, direction: Floats) -> float:
        """Half the variance of the rows' mean square.

        The differences within pairs were divided by 1 - 1/P, which has made their noise larger.
        """
        between, within = self.shape[0] - 1, self.within
        rows = float(direction @ self.rows @ direction)
        noisier = rows + float(direction @ self.residual @ direction) / between
        return (between * rows**2 + within * noisier**2) / (between + within) ** 2


def _summed_over_copies(tables: Floats, copies: NDArray[np.integer] | None) -> Floats:
    """(k, P, n) -> (k, P, C): one column for all copies of an image, with the same total mean."""
    if copies is None:
        return tables
    order = np.argsort(copies, kind="stable")
    _, starts = np.unique(copies[order], return_index=True)
    summed: Floats = np.add.reduceat(tables[:, :, order], starts, axis=2)
    return summed * (len(starts) / len(copies))


def _require_common(first: Terms, second: Terms) -> None:
    if not np.array_equal(first.trained_on, second.trained_on):
        raise ValueError(
            f"halves {first.trained_on.shape} and {second.trained_on.shape} are not the same: "
            "kinds of models are compared on common halves"
        )
    pair = (first.copies, second.copies)
    if any(each is None for each in pair) != all(each is None for each in pair) or (
        first.copies is not None and not np.array_equal(first.copies, second.copies)  # type: ignore[arg-type]  # neither is None here
    ):
        raise ValueError(f"the two kinds of models have other copies of {noun.many()}")


def _quantile(degrees_of_freedom: float, level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level}")
    return float(stats.t.ppf((1 + level) / 2, degrees_of_freedom))
