"""How many of its trials a search runs at a time, so that its suggestions learn from results.

With as many slots as trials every vector is suggested before any result is there: random search.
Simulated on the synthetic network of MobileNetV2's shape (`tests/benchmarks/bench_width.py`, 12
seeds), 40 trials all at a time found a leak of 0.044 at the accuracy bound (95% interval 0.038 to
0.050), and 8 at a time 0.032 (0.028 to 0.036); 200 trials all at a time 0.035 (0.029 to 0.040), and
40 or 64 at a time 0.032 (0.028 to 0.035).
"""

import dataclasses
import math

from search.samplers import LEARN_NOTHING
from search.search_options import SearchConfig
from search.tune.resources import Resources

LEARNING_ROUNDS = 5
"""A search runs at most one in this many of its trials at a time."""

FEWEST = 2
"""So many run at a time even in a search of a few trials, which is over soon."""


def search_width(trials: int, slots: int) -> int:
    """How many of its trials a search that learns from results runs at a time on these slots.

    >>> search_width(40, 2), search_width(40, 64), search_width(4, 64)
    (2, 8, 2)
    """
    return min(slots, max(FEWEST, math.ceil(trials / LEARNING_ROUNDS)))


def resources_of_search(config: SearchConfig, resources: Resources) -> Resources:
    """What the search takes; a number that was asked for is kept."""
    if resources.as_asked or config.sampler in LEARN_NOTHING:
        return resources
    width = search_width(config.distinct_trials, resources.concurrency)
    return dataclasses.replace(resources, concurrency=width)


def width_in_words(config: SearchConfig, resources: Resources) -> str | None:
    """What a reader must know of the slots that a search leaves, or of one that learns little."""
    slots, trials = resources.concurrency, config.distinct_trials
    width = resources_of_search(config, resources).concurrency
    if width < min(slots, trials):
        return (
            f"the search runs at most {width} of {slots} slots at once, so that suggestions learn "
            "from results; more --trials use more slots, and --concurrency N is kept as given"
        )
    learning = search_width(trials, slots)
    if config.sampler in LEARN_NOTHING or min(slots, trials) <= max(learning, trials // 2):
        return None
    return (
        f"--concurrency {slots}: {min(slots, trials)} of {trials} trials are suggested before any "
        f"result, so that the search is nearly random; up to {learning} at a time it learns"
    )


def idle_passes(config: SearchConfig, resources: Resources, each: float) -> float:
    """Training passes that fit into the slots that the search leaves idle.

    each: passes of one candidate.
    """
    width = resources_of_search(config, resources).concurrency
    return config.distinct_trials * each * (resources.concurrency / width - 1)
