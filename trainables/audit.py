"""What membership attacks gain from the outputs of any classifier: no Ray, no training, no run.

Five lines from Python, in a notebook too:

>>> generator = np.random.default_rng(0)
>>> labels, is_member = np.arange(400) % 4, np.arange(400) < 200
>>> logits = generator.normal(size=(400, 4)) + 2 * np.eye(4)[labels] * is_member[:, None]
>>> found = audit(logits, labels, is_member)
>>> bool(found.low > 0), found.members, found.non_members
(True, 200, 200)
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.gain import NO_LEAK
from trainables.attacks.strongest import Leakage, strongest_attack
from trainables.base.errors import InvalidInput
from trainables.base.seeding import numpy_generator
from trainables.config import AttackConfig

FEWEST = 50
"""The fewest members, and non-members, from whose outputs anything is said."""

LEAST_PROBABILITY = 1e-12
"""What a probability of exactly zero counts as: its logarithm is a logit."""

SUMS_TO_ONE = 0.02
"""How far the probabilities of an image may be from one together, as rounded ones are."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What attacks gained from a classifier's outputs; gains in nats, rates as fractions."""

    leakage: Leakage
    """The strongest attack and every single one."""

    low: float
    high: float
    """95% interval of `leakage.excess_gain`, over images: this very network, no other training."""

    members: int
    non_members: int
    """Those that were attacked, as many of one as of the other."""

    left_out: int
    """Images of the larger side that were left out, by the seed's draw."""

    member_accuracy: float
    non_member_accuracy: float
    references: int
    """Reference models that the attacks learned from."""

    @property
    def excess_gains(self) -> dict[str, float]:
        """Attack -> its own excess gain."""
        return {name: gain - NO_LEAK for name, gain in self.leakage.attack_gains.items()}

    @property
    def leaks(self) -> bool:
        """Whether the gain is distinguishable from none."""
        return self.low > 0


def audit(
    outputs: ArrayLike,
    labels: ArrayLike,
    is_member: ArrayLike,
    references: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    seed: int = 0,
    config: AttackConfig | None = None,
) -> Audited:
    """Attack a classifier by its outputs on images whose membership is known.

    outputs: (n, k) logits, or probabilities.  labels: (n,) in [0, k).  is_member: (n,) bool, or 0
    and 1.  references: outputs (r, n, k) of models like this one on the same images, and (r, n)
    which of them each was trained on; each image inside one and outside another.  Without them the
    leak is understated.  Where one side is larger, as many of it as of the other are drawn.
    Raises InvalidInput for anything that cannot be audited.
    """
    table = _logits(outputs, "the outputs", 2)
    answers = _labels(labels, *table.shape)
    inside = _bools(is_member, (len(table),), "is_member")
    sides = np.flatnonzero(inside), np.flatnonzero(~inside)
    fewest = min(map(len, sides))
    if fewest < FEWEST:
        raise InvalidInput(
            f"{len(sides[0])} members and {len(sides[1])} non-members are too few: give at least "
            f"{FEWEST} of each"
        )
    generator = numpy_generator(seed, "audit-balance")
    chosen = np.sort(np.concatenate([generator.choice(side, fewest, False) for side in sides]))
    lessons = None if references is None else _lessons(references, table.shape, chosen)
    try:
        evidence = Evidence(table[chosen], answers[chosen], inside[chosen], lessons)
        found = strongest_attack(evidence, config or AttackConfig(), seed)
    except ValueError as error:
        raise InvalidInput(f"these outputs cannot be audited: {error}") from error
    reach = float(stats.norm.ppf(0.975)) * found.attack_gain_se
    right = table.argmax(1) == answers
    return Audited(
        leakage=found,
        low=found.excess_gain - reach,
        high=found.excess_gain + reach,
        members=fewest,
        non_members=fewest,
        left_out=len(table) - 2 * fewest,
        member_accuracy=float(right[inside].mean()),
        non_member_accuracy=float(right[~inside].mean()),
        references=0 if lessons is None else len(lessons.logits),
    )


def _logits(outputs: ArrayLike, name: str, dimensions: int) -> NDArray[np.float64]:
    """As logits, whichever of the two they are."""
    table = _numbers(outputs, name)
    if table.ndim != dimensions or table.shape[-1] < 2 or table.size == 0:
        raise InvalidInput(
            f"{name} have the shape {table.shape}: give a row per image and a column per class, at "
            "least two"
        )
    sums = table.sum(axis=-1)
    worst = float(sums.flat[np.abs(sums - 1).argmax()])
    if table.min() >= 0 and abs(worst - 1) <= SUMS_TO_ONE:
        return np.log(np.maximum(table, LEAST_PROBABILITY))
    if table.min() >= 0 and table.max() <= 1:
        raise InvalidInput(
            f"{name} lie in [0, 1] but do not sum to one, as {worst:.3f} in one row: give logits, "
            "or the probabilities of classes that exclude one another"
        )
    return table


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} are no table of numbers: {error}") from error
    if not np.isfinite(table).all():
        raise InvalidInput(
            f"{name} hold {int((~np.isfinite(table)).sum())} values that are not finite"
        )
    return table


def _labels(labels: ArrayLike, images: int, classes: int) -> NDArray[np.int64]:
    table = _numbers(labels, "the labels")
    whole = table.astype(np.int64)
    if table.shape != (images,) or (whole != table).any():
        raise InvalidInput(
            f"the labels have the shape {table.shape}: give one whole number for each of {images} "
            "images"
        )
    if whole.min() < 0 or whole.max() >= classes:
        raise InvalidInput(
            f"the labels run from {whole.min()} to {whole.max()}, but the outputs have {classes} "
            f"columns: count classes from 0"
        )
    return whole


def _bools(values: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    table: NDArray[Any] = np.asarray(values)
    try:
        fits = table.shape == shape and bool(np.isin(table, (0, 1)).all())
    except TypeError:  # a missing value of pandas
        fits = False
    if not fits:
        raise InvalidInput(
            f"{name} has the shape {table.shape}: give true or false, or 1 or 0, in the shape "
            f"{shape}"
        )
    return table.astype(bool)


def _lessons(
    references: tuple[ArrayLike, ArrayLike], shape: tuple[int, ...], chosen: NDArray[np.int64]
) -> ReferenceEvidence:
    outputs, trained_on = references
    table = _logits(outputs, "the references' outputs", 3)
    if table.shape[1:] != shape:
        raise InvalidInput(
            f"the references' outputs have the shape {table.shape}: give one table {shape} for each"
        )
    inside = _bools(trained_on, table.shape[:2], "the references' membership")
    try:
        return ReferenceEvidence(table[:, chosen], inside[:, chosen])
    except ValueError as error:
        raise InvalidInput(f"the references cannot be used: {error}") from error
