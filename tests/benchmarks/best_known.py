"""The least expected leak known at each loss of accuracy: what no search can be asked to beat.

Vectors are improved by mutation, the best of each narrow band of losses surviving (MAP-Elites,
Mouret and Clune 2015): the front of a blackbox without noise, from below its own searches.
"""

import dataclasses

import numpy as np

from tests.benchmarks.blackbox import Blackbox
from tests.benchmarks.methods import space_of
from trainables.base.seeding import numpy_generator

BANDS = np.arange(-0.03, 0.06, 0.0005)
"""Lower ends of the bands, fractions of accuracy lost."""

ROUNDS, OFFSPRING = 300, 1024


@dataclasses.dataclass(frozen=True, eq=False)
class Front:
    """The least leak at a loss of at most so much."""

    lost: np.ndarray
    leak: np.ndarray

    def at(self, lost: float) -> float:
        """Nats; that of the least loss known where even that is larger."""
        return float(np.interp(lost, self.lost, self.leak))


def best_known(blackbox: Blackbox, seed: int = 0) -> Front:
    """The front of expected figures, compression bound included."""
    generator = numpy_generator(seed, "best-known")
    space, sizes = space_of(blackbox, "layer"), np.array(blackbox.layer_weights)
    low, layers = np.log(space.minimum_keep), len(sizes)
    even = np.linspace(low, 0.0, OFFSPRING // 2)[:, None].repeat(layers, axis=1)
    x = np.concatenate([even, generator.uniform(low, 0.0, (OFFSPRING // 2, layers))])
    elite, leaks = np.zeros((len(BANDS), layers)), np.full(len(BANDS), np.inf)
    for _ in range(ROUNDS):
        found = blackbox.expected(x)
        compression = sizes.sum() / (np.exp(x) @ sizes)
        band = np.searchsorted(BANDS, found["lost"], side="right") - 1
        leak = found["leak"].clip(0)
        allowed = (compression >= (blackbox.config.min_compression or 1.0)) & (band >= 0)
        for at in np.flatnonzero(allowed & (leak < leaks[band])):
            if leak[at] < leaks[band[at]]:
                elite[band[at]], leaks[band[at]] = x[at], leak[at]
        parents = elite[generator.choice(np.flatnonzero(np.isfinite(leaks)), OFFSPRING)]
        step = generator.choice([0.03, 0.1, 0.4], (OFFSPRING, 1))
        moved = generator.random((OFFSPRING, layers)) < generator.choice(
            [1 / layers, 0.3, 1.0], (OFFSPRING, 1)
        )
        x = (parents + step * moved * generator.normal(size=parents.shape)).clip(low, 0.0)
    known = np.isfinite(leaks)
    return Front(BANDS[known], np.minimum.accumulate(leaks[known]))
