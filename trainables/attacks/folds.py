"""Folds for cross-fitting: every image is scored once, by an attack that never saw it."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.evidence import Bools, Evidence, Floats
from trainables.base import noun
from trainables.data.split import filled, units_of

Folds = NDArray[np.int64]
"""(n,) number of the fold that scores each image."""

FitAndScore = Callable[[NDArray[np.int64], NDArray[np.int64]], Floats]
"""(train positions, scored positions) -> probabilities of the scored ones."""


def stratified_folds(evidence: Evidence, count: int, generator: np.random.Generator) -> Folds:
    """Deal members and non-members of each class to `count` folds, as evenly as can be.

    All copies of an image share a fold: an attack that saw one of them would know the others.
    Raises ValueError where a fold would hold fewer than two members or non-members.
    """
    members = int(evidence.is_member.sum())
    if min(members, len(evidence.labels) - members) < 2 * count:
        raise ValueError(f"{len(evidence.labels)} {noun.many()} are too few for {count} folds")
    folds = np.empty(len(evidence.labels), dtype=np.int64)
    for member in (True, False):
        chosen = np.flatnonzero(evidence.is_member == member)
        shuffled = generator.permutation(chosen)
        by_class = shuffled[np.argsort(evidence.labels[shuffled], kind="stable")]
        if evidence.copies is None:
            folds[by_class] = np.arange(len(by_class)) % count
            continue
        for number, unit in enumerate(units_of(by_class, evidence.copies)):
            folds[unit] = number % count
    return folds


def splits(folds: Folds) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(train positions, scored positions) of each fold."""
    for fold in range(int(folds.max()) + 1):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def cross_fit(folds: Folds, fit_and_score: FitAndScore) -> Floats:
    """(n,) held-out probabilities, fold by fold."""
    probabilities = np.empty(len(folds), dtype=np.float64)
    for train, scored in splits(folds):
        probabilities[scored] = fit_and_score(train, scored)
    return probabilities


def inner_validation(
    is_member: Bools,
    share: float,
    generator: np.random.Generator,
    copies: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions to fit on and to validate on, `share` of each of members and non-members.

    copies: as in `Evidence`, of the same images; those of one image are on one side.
    """
    held = []
    for member in (True, False):
        chosen = generator.permutation(np.flatnonzero(is_member == member))
        room = max(1, round(share * len(chosen)))
        if copies is None:
            held.append(chosen[:room])
            continue
        units = units_of(chosen, copies)
        held.append(np.array(filled(units, room)[0] or units[0]))
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(is_member)), validation), validation
