"""The Optuna samplers that suggest candidates, by name."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler
from optuna.samplers.nsgaii import BLXAlphaCrossover
from optuna.trial import FrozenTrial

from search.space import Params, Space
from search.tpe import WindowedTPE


def _startup(n_trials: int) -> int:
    """Optuna's ten random trials, or fewer in a short search, which would else be all random."""
    return max(1, min(10, n_trials // 4))


def _tpe(seed: int, space: Space, n_trials: int) -> BaseSampler:
    return WindowedTPE(seed=seed, n_startup_trials=_startup(n_trials))


def _gp(seed: int, space: Space, n_trials: int) -> BaseSampler:
    return GPSampler(
        seed=seed, n_startup_trials=_startup(n_trials), warn_independent_sampling=False
    )


def _random(seed: int, space: Space, n_trials: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _qmc(seed: int, space: Space, n_trials: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of the class, at construction
        return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _nsga2(seed: int, space: Space, n_trials: int) -> BaseSampler:
    """Run at least four generations, so that a short search is not all first generation.

    Parents are blended, not swapped: swapping often gives a vector that was already measured.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of the crossover, at construction
        crossover = BLXAlphaCrossover()
    return AnchoredNSGAII(
        seed=seed,
        population_size=max(2, min(50, n_trials // 4)),
        crossover=crossover,
        crossover_prob=1.0,
    )


def _grid(seed: int, space: Space, n_trials: int) -> BaseSampler:
    return GridSampler(seed, space, n_trials)


class AnchoredNSGAII(NSGAIISampler):
    """NSGA-II with the anchors in its first generation; Optuna's own ignores enqueued trials."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Put every trial into a generation from its start."""
        super().before_trial(study, trial)
        self.get_trial_generation(study, trial)


class GridSampler(BaseSampler):
    """Algorithm 1's loop over the same range: a log-spaced full factorial, in random order.

    Each dimension gets the smallest number of levels whose full factorial has n_trials points. In
    order, part of a full factorial would vary only the last layers, which makes it a straw man.
    This class exists because Optuna's own grid sampler builds every point at once (2 ** 53 for
    ResNet-50), stops a study that is not being optimised, and repeats adopted trials after a
    restore.
    """

    def __init__(self, seed: int, space: Space, n_trials: int) -> None:
        distributions = space.distributions()
        names = sorted(distributions)
        levels = 2
        while levels ** len(names) < n_trials:
            levels += 1
        self._space = space
        values = {name: grid_levels(distributions[name], levels) for name in names}
        generator = np.random.default_rng(seed)
        chosen: dict[tuple[int, ...], Params] = {}
        while len(chosen) < n_trials:
            cell = tuple(int(level) for level in generator.integers(levels, size=len(names)))
            chosen[cell] = {name: values[name][i] for name, i in zip(names, cell, strict=True)}
        self._points = list(chosen.values())

    def infer_relative_search_space(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        """The whole space in every case."""
        return self._space.distributions()

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The first point in order that was not tried; if all were, the order starts again."""
        names = self._space.distributions().keys()
        tried = {
            self._space.candidate(other.params)
            for other in study.get_trials(deepcopy=False)
            if other.params.keys() == names
        }
        fresh = (point for point in self._points if self._space.candidate(point) not in tried)
        return next(fresh, self._points[trial.number % len(self._points)])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> float:
        """Raise, since the relative space is the whole space and Optuna never needs this."""
        raise NotImplementedError(f"{param_name} is not in the space of this grid")


def grid_levels(distribution: BaseDistribution, count: int) -> list[float]:
    """`count` values from the low to the high end, evenly spaced on the distribution's own scale.

    Raises TypeError for a distribution that has no ends.
    """
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"a grid has no levels on {distribution}")
    low, high = distribution.low, distribution.high
    space = np.geomspace if distribution.log else np.linspace
    values = space(low, high, count).clip(low, high)  # the ends of geomspace may be rounded out
    if isinstance(distribution, IntDistribution):
        return [round(value) for value in values]
    return [float(value) for value in values]


SamplerFactory = Callable[[int, Space, int], BaseSampler]

SAMPLERS: dict[str, SamplerFactory] = {
    "tpe": _tpe,
    "gp": _gp,
    "random": _random,
    "grid": _grid,
    "qmc": _qmc,
    "nsga2": _nsga2,
}
"""Each sampler's name and its factory, called as factory(seed, space, n_trials)."""

LEARN_NOTHING = ("random", "grid", "qmc")
"""Samplers whose suggestions do not depend on results."""
