"""Measures vectors of a blackbox as the stages of one run would: one model, four, or all.

A run's seed fixes all luck.  Asking twice gives the same answer, and vectors share the luck of the
halves, of which each stage has its own.

Where a vector is a published allocation of the table, its own eight models take the surrogate's
place: the seed deals their four complementary pairs, two to be seen and two to be judged by.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from search.space import Counts
from tests.benchmarks.blackbox import FIGURES, Blackbox, Measured
from tests.benchmarks.table import MODELS
from trainables.base.seeding import numpy_generator
from trainables.config import FEWEST_MODELS
from trainables.outcome.feasible import Bounds

UNSEEN_PARTS = 2
"""A confirmation judges accuracy on the validation part and on as many images of the pool."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What several models of a vector showed, or what is true of it."""

    leak: float
    lost: float
    leak_se: float = 0.0
    """Of the luck of its own models; that of the halves cancels between vectors."""

    lost_se: float = 0.0
    """As an audit tells it."""


class Laboratory:
    """A run of one seed on a blackbox."""

    def __init__(self, blackbox: Blackbox, seed: int) -> None:
        self.blackbox = blackbox
        self.seed = seed
        config = blackbox.config
        self._bounds = Bounds(
            accuracy=-config.max_accuracy_drop, compression=config.min_compression
        )
        pairs = numpy_generator(seed, "pairs").permutation(MODELS // 2)
        self._seen, self._judged = (
            np.concatenate([2 * chosen, 2 * chosen + 1]) for chosen in np.split(pairs, 2)
        )
        self._expected = functools.lru_cache(maxsize=None)(self._means)

    def trial(self, n: Counts) -> dict[str, Any]:
        """The last report of a trial of the search: one model and its own attacks."""
        means, noise = self._expected(n), self.blackbox.noise
        lost = self._seen_lost(n) + self._draw("lost", n, "search", noise.seen.own(means["lost"]))
        lost += self._common_lost("search", 1)
        family = means["family"] + self._shared("family", "search", noise.family.common)
        family += self._draw("family", n, "search", noise.family.own(means["family"]))
        compression = sum(self.blackbox.layer_weights) / sum(n)
        return {
            "finished": True,
            "excess_gain": family,
            "val_accuracy": -lost,  # against the dense model's, which counts as zero
            **self._bounds.violations(-lost, compression),
        }

    def race(self, n: Counts) -> Found:
        """Four models on the race's own halves."""
        own = self.blackbox.measured.get(n)
        means = self._expected(n)
        if own is None:
            return self._audited(n, "race", means["leak_of_four"], self._seen_lost(n))
        lag = means["leak_of_four"] - means["leak"]
        lost = float(own.lost_validation[self._seen].mean())
        return Found(
            leak=float(own.gains[self._seen].mean()) + lag,
            lost=lost + self._common_lost("race", FEWEST_MODELS),
            lost_se=self._raced_se(lost),
        )

    def confirmed(self, n: Counts) -> Found:
        """All models of a confirmed vector, on halves that nobody used before."""
        truth = self.truth(n)
        luck = self._images(n) / UNSEEN_PARTS
        luck += self._images(n, "outside") / UNSEEN_PARTS
        return self._audited(n, "confirm", truth.leak, truth.lost + luck)

    def truth(self, n: Counts) -> Found:
        """What is expected of a vector: what a winner is judged by."""
        means = self._expected(n)
        own = self.blackbox.measured.get(n)
        if own is None:
            return Found(leak=means["leak"], lost=means["lost"])
        return Found(
            leak=max(float(own.gains[self._judged].mean()), 0.0),
            lost=float(own.lost[self._judged].mean()),
        )

    def compression(self, n: Counts) -> float:
        """Weights over those that are kept."""
        return sum(self.blackbox.layer_weights) / sum(n)

    def _audited(self, n: Counts, stage: str, leak: float, lost: float) -> Found:
        """Figures of several models around these expectations."""
        noise, races = self.blackbox.noise, stage == "race"
        models = FEWEST_MODELS if races else self.blackbox.config.models
        leak_se = noise.gain.own(leak) / math.sqrt(models / 2)
        lost_own = noise.lost.own(lost) / math.sqrt(models)
        told = self._raced_se(lost) if races else noise.told.told(models, UNSEEN_PARTS)
        leak += self._shared("gain", stage, noise.gain.common / math.sqrt(models / 2))
        if races:
            lost += self._common_lost(stage, models)
        else:
            lost += self._shared("lost", stage, noise.lost.common / math.sqrt(models))
        return Found(
            leak=leak + self._draw("gain", n, stage, leak_se),
            lost=lost + self._draw("lost", n, stage, lost_own),
            leak_se=leak_se,
            lost_se=told,
        )

    def _common_lost(self, stage: str, models: int) -> float:
        """What all vectors of a stage lose by the luck of its halves and of all dense models."""
        common = self.blackbox.noise.seen.common / math.sqrt(models)
        return self._shared("dense", "lost", self._dense_se) + self._shared("lost", stage, common)

    @property
    def _dense_se(self) -> float:
        """Error of the mean accuracy of a run's dense models."""
        noise = self.blackbox.noise
        luck = max(noise.lost.common**2 - noise.seen.common**2, 0.0)
        return math.sqrt(luck / self.blackbox.config.dense_models)

    def _raced_se(self, lost: float) -> float:
        """The error that a race tells, as `search.stages.race` does."""
        noise = self.blackbox.noise.seen
        luck = noise.common**2 + noise.own(lost) ** 2
        return math.sqrt(luck / FEWEST_MODELS + self._dense_se**2)

    def _seen_lost(self, n: Counts) -> float:
        """Accuracy that models of this vector are expected to lose on the validation images."""
        own: Measured | None = self.blackbox.measured.get(n)
        if own is not None:
            return float(own.lost_validation[self._seen].mean())
        return self._expected(n)["lost"] + self._images(n)

    def _images(self, n: Counts, part: str = "validation") -> float:
        return self._draw("images", n, part, self.blackbox.noise.images)

    def _draw(self, figure: str, n: Counts, stage: str, deviation: float) -> float:
        generator = numpy_generator(self.seed, f"{figure}/{stage}/{n}")
        return float(generator.normal()) * deviation

    def _shared(self, figure: str, stage: str, deviation: float) -> float:
        return float(numpy_generator(self.seed, f"{figure}/{stage}").normal()) * deviation

    def _means(self, n: Counts) -> dict[str, float]:
        means = self.blackbox.means([n])
        return {figure: float(means[figure][0]) for figure in FIGURES}
