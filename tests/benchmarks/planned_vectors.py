"""Which vectors are tabulated, in a fixed order of which any beginning is useful.

Quasi-random points of the search's own space, half of them near the bound of the accuracy, and the
published allocations at many levels.  The anchors of every search come first.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import qmc
from torch import Tensor

from search.space import Counts, Space
from search.stages.search import ANCHOR_LEVELS
from tests.benchmarks.table import PUBLISHED
from trainables.base.seeding import numpy_generator
from trainables.pruning.uniform_erk_lamp import ALLOCATIONS

POINTS = 512
"""Quasi-random vectors."""

PUBLISHED_EVERY = 4
"""One vector in so many is a published allocation, until these are all there."""

NEAR_BOUND = (3.0, 40.0)
"""Compressions between which LeNet-5 on mnist5k begins to lose accuracy, by any allocation."""

LEVELS = tuple(sorted({*ANCHOR_LEVELS, *np.geomspace(0.025, 0.9, 21).round(3).tolist()}))
"""Overall keep ratios of the published allocations."""

WHOLE = "whole"
"""Nothing is removed, but the recipe of pruning is gone through."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """One vector to measure."""

    source: str
    n: Counts
    level: float | None = None
    """The overall keep ratio that a published allocation was asked for."""


def anchors(weights: Mapping[str, Tensor]) -> list[Planned]:
    """What every search of this tool tries first (search/stages/search.py), in its order."""
    return [whole(weights)] + [
        published(rule, weights, level)
        for level in ANCHOR_LEVELS
        for rule in ("uniform", "erk", "lamp")
    ]


def whole(weights: Mapping[str, Tensor]) -> Planned:
    """All weights."""
    return Planned(source=WHOLE, n=tuple(weight.numel() for weight in weights.values()))


def published(rule: str, weights: Mapping[str, Tensor], level: float) -> Planned:
    """A published allocation at an overall keep ratio."""
    return Planned(source=rule, n=ALLOCATIONS[rule](weights, level), level=level)


def allocations(weights: Mapping[str, Tensor]) -> list[Planned]:
    """Every published allocation at every level."""
    return [published(rule, weights, level) for rule in PUBLISHED for level in LEVELS]


def planned(space: Space, weights: Mapping[str, Tensor], seed: int) -> list[Planned]:
    """All vectors, each once, in their order.

    weights: prunable layer -> its weights in the dense model; LAMP looks at their size.
    """
    generator = numpy_generator(seed, "table-order")
    points = [*_quasi_random(space, seed, "space"), *_quasi_random(space, seed, "boundary")]
    rules = allocations(weights)
    points, rules = (
        [found[at] for at in generator.permutation(len(found))] for found in (points, rules)
    )
    unique: dict[Counts, Planned] = {}
    for one in [*anchors(weights), *_mixed(points, rules)]:
        unique.setdefault(one.n, one)
    return list(unique.values())


def _mixed(points: Sequence[Planned], rules: Sequence[Planned]) -> Iterator[Planned]:
    """A published allocation, then PUBLISHED_EVERY - 1 points, and so on."""
    left = iter(points)
    for rule in rules:
        yield rule
        yield from itertools.islice(left, PUBLISHED_EVERY - 1)
    yield from left


def _quasi_random(space: Space, seed: int, source: str) -> Iterator[Planned]:
    """POINTS / 2 vectors: of the whole space, or of its part with compressions NEAR_BOUND."""
    low, high = NEAR_BOUND if source == "boundary" else (1.0, np.inf)
    generator = numpy_generator(seed, f"table-{source}")
    sobol = qmc.Sobol(len(space.groups), rng=generator)
    left = POINTS // 2
    while left:
        keeps = np.exp(np.log(space.minimum_keep) * sobol.random(POINTS))
        for keep in keeps:
            n = space.counts(dict(zip(space.groups, keep, strict=True)))
            if left and low <= sum(space.layer_weights) / sum(n) <= high:
                left -= 1
                yield Planned(source=source, n=n)
