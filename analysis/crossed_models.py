"""What a cross-audit found about the models of one vector, from its two tables to estimates."""

import dataclasses
from typing import Self

import numpy as np
import pyarrow as pa

from analysis.statistics import Interval
from trainables.attacks import crossed
from trainables.attacks.crossed import Estimate, Terms

PARTS = ("validation", "test")
"""The parts that accuracies are compared on."""


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
        others = {int(half[part == name].max()) + 1 for name in PARTS} - {models}
        if others:
            raise ValueError(f"it is of {others.pop()} models, and terms.parquet of {models}")
        images = {name: image[part == name].reshape(models, -1)[0] for name in PARTS}
        audited = terms["image"].to_numpy().reshape(models, -1)[0]
        return cls(
            terms=found,
            right={name: right[part == name].reshape(models, -1) for name in PARTS},
            images={**images, "audited": audited},
        )

    @property
    def models(self) -> int:
        """The number of models, each of which was attacked with the others as references."""
        return len(self.terms.term)

    @property
    def excess(self) -> Interval:
        """The mean excess gain of the models in nats, over trainings and images."""
        return interval_of(crossed.excess(self.terms))

    def accuracy(self, part: str) -> float:
        """The mean accuracy of the models on a part."""
        return float(self.right[part].mean())

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
    for part in PARTS:
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
        return "its models were measured on different images"
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
