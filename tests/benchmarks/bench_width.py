"""What a search finds where many trials run at a time: simulated slots, a fake clock, no Ray.

`python -m tests.benchmarks.bench_width [--slots 8 64 512] [--trials 40 200] [--seeds N]`: three
ways to spend slots on the synthetic network of MobileNetV2's shape (`synthetic.py`), in the space
that such a network is searched in.  A search hands out vectors as slots become free, so that those
that run say nothing yet.  It is followed by the race and by one round of confirmation, as in
`simulate.py`, and judged by what is true of its winner.

Leaks are matched: a winner that loses more accuracy than the bound pays the best known leak's
difference.  Times are in trials of median length.
"""

import argparse
import dataclasses
import functools
import heapq
import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pandas as pd

from search.tune.searcher import FeasibleSearcher
from search.width import LEARNING_ROUNDS, search_width
from tests.benchmarks.best_known import best_known
from tests.benchmarks.blackbox import Blackbox, BlackboxNoise
from tests.benchmarks.eight_models import preset
from tests.benchmarks.laboratory import Laboratory
from tests.benchmarks.methods import METHODS, RACE, Row, anchors_for, as_row, goal, space_of
from tests.benchmarks.noise import Noise, ToldErrors
from tests.benchmarks.scores import mean, with_matched
from tests.benchmarks.simulate import confirmed_winner, judged_by_truth
from tests.benchmarks.synthetic import mobilenetv2
from trainables.base.seeding import numpy_generator

SPREAD = 0.25
"""Standard deviation of the logarithm of a trial's time."""

NOISE = BlackboxNoise(
    lost=Noise(common=0.004, floor=0.006, slope=0.0),
    seen=Noise(common=0.004, floor=0.006, slope=0.0),
    family=Noise(common=0.0, floor=0.005, slope=0.0),
    gain=Noise(common=0.0, floor=0.004, slope=0.0),
    images=0.003,
    told=ToldErrors(images=0.003**2, models=0.0105**2),
)
"""About that of LeNet-5 on mnist5k, 1,000 images a part."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """How a search uses slots."""

    trials: Callable[[int, int], int]
    """(trials asked for, slots) -> trials."""

    width: Callable[[int, int], int]
    """(trials, slots) -> trials at a time."""


POLICIES = {
    "all slots": Policy(trials=lambda trials, _: trials, width=lambda _, slots: slots),
    "a fifth of the trials": Policy(trials=lambda trials, _: trials, width=search_width),
    "more trials": Policy(
        trials=lambda trials, slots: max(trials, LEARNING_ROUNDS * slots),
        width=lambda _, slots: slots,
    ),
}


def searched(
    laboratory: Laboratory, trials: int, width: int, kind: str = "cluster"
) -> tuple[list[Row], float]:
    """The rows of a search in the order of their ends, and when the last one ended.

    width: trials at a time.
    """
    space = space_of(laboratory.blackbox, kind)
    searcher = FeasibleSearcher(
        space=space,
        sampler_name="tpe",
        seed=laboratory.seed,
        n_trials=trials,
        anchors=anchors_for(laboratory, space, trials),
        goals=[goal(laboratory.blackbox)],
    )
    lengths = np.exp(SPREAD * numpy_generator(laboratory.seed, "lengths").normal(size=trials))
    running: list[tuple[float, int]] = []
    handed: dict[int, dict[str, object]] = {}
    rows: list[Row] = []
    now = 0.0
    while len(rows) < trials:
        while len(running) < width and len(handed) < trials:
            number = len(handed)
            suggestion = searcher.suggest(str(number))
            assert isinstance(suggestion, dict)
            handed[number] = suggestion
            heapq.heappush(running, (now + lengths[number], number))
        now, number = heapq.heappop(running)
        suggestion = handed[number]
        result = laboratory.trial(tuple(suggestion["n"]))
        searcher.on_trial_complete(str(number), result)
        rows.append(as_row(number, suggestion["kind"], suggestion["n"], result))
    return rows, now


def found(blackbox: Blackbox, trials: int, width: int, seed: int) -> Row:
    """What is true of the winner of one search, and when the search ended."""
    laboratory = Laboratory(blackbox, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        rows, ended = searched(laboratory, trials, width)
    best = confirmed_winner(laboratory, METHODS[RACE].order(laboratory, rows))
    return {**judged_by_truth(laboratory, best), "time": ended}


def compared(
    blackbox: Blackbox,
    slots: Sequence[int],
    trials: Sequence[int],
    seeds: int,
    most_trials: int,
) -> pd.DataFrame:
    """One row per policy, slots, trials and seed, but for searches of more than `most_trials`."""
    once = functools.lru_cache(maxsize=None)(functools.partial(found, blackbox))
    records = []
    for wide, asked, (policy, rule) in itertools.product(slots, trials, POLICIES.items()):
        count = rule.trials(asked, wide)
        if count > most_trials:
            continue
        width = min(rule.width(count, wide), count)
        about = {"policy": policy, "slots": wide, "asked": asked, "trials": count, "width": width}
        for seed in range(seeds):
            one = once(count, width, seed)
            records.append({"blackbox": blackbox.name, "seed": seed, **about, **one})
    fronts = {blackbox.name: best_known(blackbox)}
    return with_matched(pd.DataFrame(records), fronts, blackbox.config.max_accuracy_drop)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per slots, trials and policy: mean matched leak with its 95% interval, and time."""
    records = []
    for (slots, asked, policy), rows in frame.groupby(["slots", "asked", "policy"], sort=False):
        leak = mean(rows["matched"].to_numpy())
        records.append(
            {
                "slots": slots,
                "trials asked": asked,
                "policy": policy,
                "trials": int(rows["trials"].iloc[0]),
                "at a time": int(rows["width"].iloc[0]),
                "leak": leak.value,
                "low": leak.low,
                "high": leak.high,
                "feasible": rows["feasible"].mean(),
                "time": rows["time"].mean(),
            }
        )
    return pd.DataFrame(records)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[8, 64, 512], metavar="N")
    parser.add_argument("--trials", type=int, nargs="+", default=[40, 200], metavar="N")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most-trials", type=int, default=640)
    given = parser.parse_args(words)
    blackbox = mobilenetv2(preset(0), NOISE)
    frame = compared(blackbox, given.slots, given.trials, given.seeds, given.most_trials)
    print(f"{blackbox.name}: {given.seeds} seeds")
    print(table(frame).to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
