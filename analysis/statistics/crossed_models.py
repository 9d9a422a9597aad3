"""What a cross-audit found about the models of one vector, from its two tables to estimates."""

import dataclasses
from typing import Self

import numpy as np
import pyarrow as pa

from analysis.statistics.intervals import Interval
from trainables.attacks import crossed
from trainables.attacks.crossed import Estimate, Terms
from trainables.base import noun

PARTS = ("validation", "test")
"""The parts that no model trained on."""

SHARPER_FROM = 16
"""The number of models from which the images outside each model narrow the interval of the accuracy
lost, by up to a third in simulations. They are compared in pairs of models, and fewer than eight
pairs show the luck of training too badly."""

AUDITED = "audited"
"""The images that half of the models trained on; tables of older releases lack their accuracies."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CrossedModels:
    """Models of one vector, or dense ones, one per half of the audited images."""

    terms: Terms

    right: dict[str, np.ndarray]
    """Part (validation, test) -> (m, images) bool: which images each model classifies correctly."""

    images: dict[str, np.ndarray]
    """Part, or `audited`, -> the positions of its images."""

    @classmethod
    def of(cls, terms: pa.Table, correct: pa.Table) -> Self:
        """From the parts of a vector, which `damage_of_terms` and `damage_of_correct` passed.

        Raises ValueError where one is of another number of models than the other.
        """
        found = _terms(terms)
        models = len(found.term)
        part, half, image, right = (
            correct[name].to_numpy(zero_copy_only=False)
            for name in ("part", "half", "image", "correct")
        )
        others = {int(half[part == name].max()) + 1 for name in np.unique(part)} - {models}
        if others:
            raise ValueError(f"it is of {others.pop()} models, and terms.parquet of {models}")
        images = {name: image[part == name].reshape(models, -1)[0] for name in PARTS}
        few = [name for name, positions in images.items() if len(positions) < 2]
        if few:
            raise ValueError(f"it has fewer than two {noun.many()} of part {few[0]}")
        audited = terms["image"].to_numpy().reshape(models, -1)[0]
        known = [*PARTS, *([AUDITED] if (part == AUDITED).any() else [])]
        if AUDITED in known and not np.array_equal(
            image[part == AUDITED].reshape(models, -1)[0], audited
        ):
            raise ValueError(f"its audited {noun.many()} are not those of terms.parquet")
        return cls(
            terms=found,
            right={name: right[part == name].reshape(models, -1) for name in known},
            images={**images, AUDITED: audited},
        )

    @property
    def models(self) -> int:
        """The number of models, each of which was attacked with the others as references."""
        return len(self.terms.term)

    @property
    def excess(self) -> Interval:
        """The mean excess gain of the models in nats, over trainings and images."""
        return interval_of(crossed.excess(self.terms))

    def accuracy(self, part: str) -> Interval:
        """The mean accuracy of the models on a part, over trainings and images."""
        return interval_of(crossed.mean_accuracy(self.right[part]))

    def less_than(self, other: Self) -> Interval:
        """Excess gain less that of other models, in pairs on common halves and images; nats."""
        return interval_of(crossed.difference(self.terms, other.terms))

    def ratio_to(self, other: Self) -> Interval:
        """Excess gain over that of other models, in pairs; unbounded where theirs may be zero."""
        quotient = crossed.ratio(self.terms, other.terms)
        low, high = quotient.interval()
        return Interval(
            estimate=quotient.value, low=low, high=high, standard_error=quotient.standard_error
        )

    def drop_from(self, other: Self, part: str) -> Interval:
        """Accuracy lost against other models on common halves and images; a fraction."""
        return interval_of(crossed.paired_drop(other.right[part], self.right[part]))

    def lost_against(self, other: Self) -> Interval:
        """The same on images that the models did not train on, the test part left alone.

        These are the validation part and, from SHARPER_FROM models, for each model the half of the
        audited images outside it; tables of older releases know the former only.
        """
        known = all(AUDITED in one.right for one in (self, other))
        if not known or self.models < SHARPER_FROM:
            return self.drop_from(other, "validation")
        validation, audited = (
            (other.right[part], self.right[part]) for part in ("validation", AUDITED)
        )
        halves, copies = self.terms.trained_on, self.terms.copies
        return interval_of(crossed.unseen_drop(validation, audited, halves, copies))

    def fits(self, other: Self) -> bool:
        """Whether both are of the same halves and images, so that they compare in pairs."""
        ours, theirs = self.terms, other.terms
        return (
            np.array_equal(ours.trained_on, theirs.trained_on)
            and np.array_equal(self._clusters(), other._clusters())
            and all(np.array_equal(self.images[name], other.images[name]) for name in self.images)
        )

    def _clusters(self) -> np.ndarray:
        copies = self.terms.copies
        return self.images["audited"] if copies is None else copies


def interval_of(estimate: Estimate) -> Interval:
    """The estimate with its 95% interval."""
    low, high = estimate.interval()
    return Interval(
        estimate=estimate.value,
        low=low,
        high=high,
        standard_error=estimate.standard_error,
        degrees_of_freedom=estimate.degrees_of_freedom,
    )


def damage_of_terms(table: pa.Table) -> str | None:
    """What is wrong with a part of TERM_SCHEMA, None when nothing is."""
    damage = _damage_of_halves(table)
    if damage is not None:
        return damage
    probability, term = (table[name].to_numpy() for name in ("probability", "term"))
    if not ((probability >= 0) & (probability <= 1)).all():
        return "probability has values that are none"
    if not (term <= 0).all():
        return "term has values that are no logarithms of probabilities"
    try:
        _terms(table)
    except ValueError as error:
        return str(error)
    return None


def damage_of_correct(table: pa.Table) -> str | None:
    """What is wrong with a part of CORRECT_SCHEMA, None when nothing is."""
    parts = table["part"].to_numpy(zero_copy_only=False)
    for part in (*PARTS, *([AUDITED] if (parts == AUDITED).any() else [])):
        damage = _damage_of_halves(table.filter(pa.array(parts == part)))
        if damage is not None:
            return f"{damage} in part {part}"
    return None


def _damage_of_halves(table: pa.Table) -> str | None:
    """What keeps the rows from being the same images under model after model."""
    if not table.num_rows:
        return "it has no rows"
    absent = [name for name in table.column_names if table[name].null_count]
    if absent:
        return f"{absent[0]} is missing"
    half, image = (table[name].to_numpy() for name in ("half", "image"))
    models = int(half.max()) + 1
    if models < 1 or len(half) % models:
        return f"{len(half)} rows are not as many for each of {models} models"
    if not np.array_equal(half, np.repeat(np.arange(models), len(half) // models)):
        return "half does not count the models in order"
    if (image.reshape(models, -1) != image[: len(half) // models]).any():
        return f"its models were measured on different {noun.many()}"
    return None


def _terms(table: pa.Table) -> Terms:
    """Raises ValueError where the halves are not complementary pairs."""
    models = int(table["half"].to_numpy().max()) + 1
    image, copy_of = (
        table[name].to_numpy().reshape(models, -1)[0] for name in ("image", "copy_of")
    )
    return Terms(
        table["term"].to_numpy().reshape(models, -1),
        table["inside"].to_numpy(zero_copy_only=False).reshape(models, -1),
        None if np.array_equal(image, copy_of) else copy_of,
    )
