"""The driver's time for a trial of 53 layers, from the first to the 10,000th, without Ray.

`python -m tests.benchmarks.bench_driver [--trials N] [--storage URL]` asks the searcher, makes up
what a trial measures, tells the searcher, writes the row and its epochs and mirrors it, and says
for each thousand the median milliseconds that the driver was held up, and the processor's time of
it all, the mirror's thread included; then how long pandas takes to read the table and what it
weighs. The first thousand is also done as it was before: a file for each trial, a mirror that
reads all of them and of its own for each, and Optuna's own TPE.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd

from search.recipes import recipe
from search.record.mirror import Mirror, remember
from search.record.parts import serialised
from search.record.trials_parquet import EPOCHS, TRIALS, Ledger
from search.samplers import SAMPLERS
from search.space import Space
from search.tune.recorder import Recorder, RunIdentity
from search.tune.searcher import FeasibleSearcher
from trainables.base.storage import write
from trainables.config import TrialConfig
from trainables.job import Job
from trainables.outcome.objective import Goal
from trainables.records import EPOCH_SCHEMA, TRIAL_SCHEMA, EpochRecord, read_part, to_table

LAYERS = {f"layer{depth}.conv.weight": 1000 * (depth + 1) for depth in range(53)}
SPACE = Space("layer", tuple(LAYERS), tuple(LAYERS.values()))
GOAL = Goal(units={"accuracy_violation": 0.01})
EVERY = 1000
EPOCHS_OF_A_TRIAL = 13
SAMPLED = 3
"""Trials of which the way before is timed whole, after a thousand."""


class PartPerTrial:
    """The ledger as it was: a file for each trial, all read for each question."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Any) -> None:
        self._put(TRIALS, record.trial_id, to_table([record], TRIAL_SCHEMA))

    def write_epochs(self, trial_id: str, epochs: list[EpochRecord]) -> None:
        self._put(EPOCHS, trial_id, to_table(epochs, EPOCH_SCHEMA))

    def rows(self) -> list[dict[str, Any]]:
        parts = sorted((self._folder / TRIALS).iterdir())
        tables = [read_part(part.read_bytes(), TRIAL_SCHEMA) for part in parts]
        return [row for one in tables for row in one.to_pylist(maps_as_pydicts="strict")]

    def _put(self, name: str, trial_id: str, table: Any) -> None:
        write(self._folder / name / f"{trial_id}.parquet", serialised(table))


def measured(n: Sequence[int], number: int) -> dict[str, Any]:
    """A made-up truth with noise: keeping less leaks less, keeping too little costs accuracy."""
    keep = np.asarray(n) / np.asarray(SPACE.layer_weights)
    noise = np.random.default_rng(number).normal(0, [0.002, 0.002])
    violation = 0.3 - 0.1 * float(np.sqrt(keep).mean() * 6) + noise[0]
    epoch = {
        "phase": "retrain",
        "loss": 0.1,
        "train_accuracy": 1.0,
        "val_accuracy": 0.9,
        "trial_id": f"search-{number:04d}",
    }
    return {
        "finished": True,
        "excess_gain": float(keep.mean()) * 0.08 + noise[1],
        "attack_gains": {"calibrated": -1.3, "reference": -1.2},
        "val_accuracy": 0.9 - violation,
        "accuracy_violation": violation,
        "compression_violation": None,
        "started_at": "2026-01-01T00:00:00+00:00",
        "duration_s": 60.0,
        "history": [
            dataclasses.asdict(EpochRecord(**epoch, epoch=epoch_number))
            for epoch_number in range(EPOCHS_OF_A_TRIAL)
        ],
    }


class Driver:
    """What runs in the driver for each trial of a search, around Tune."""

    def __init__(self, ledger: Any, sampler: str, trials: int, storage: str | None) -> None:
        """storage: where to mirror; None is nowhere."""
        config = recipe("mnist5k", "lenet5")
        trial = TrialConfig(
            kind="search",
            number=0,
            run_seed=0,
            seed=1,
            dataset="mnist5k",
            model="lenet5",
            n=SPACE.layer_weights,
            training=config.training,
            admm=config.admm,
            attack=config.attack,
        )
        self._base = Job(trial=trial).to_dict()
        self._searcher = FeasibleSearcher(
            SPACE, sampler_name=sampler, seed=0, n_trials=trials, goals=[GOAL]
        )
        identity = RunIdentity(
            run_id=f"run-{sampler}",
            sampler="tpe",
            layer_names=SPACE.layer_names,
            layer_weights=SPACE.layer_weights,
        )
        if storage is not None:
            remember(identity.run_id, storage)
        self._recorder = Recorder(ledger, identity, SPACE, GOAL)
        self._recorder.setup()

    def trial(self, number: int) -> dict[str, float]:
        """Milliseconds that each part of one trial takes."""
        begun = time.perf_counter()
        suggested = self._searcher.suggest(f"t{number}")
        assert isinstance(suggested, dict)
        asked = time.perf_counter()
        result = measured(suggested["n"], number)
        ended = time.perf_counter()
        self._searcher.on_trial_complete(f"t{number}", result)
        told = time.perf_counter()
        trial = SimpleNamespace(config={"job": self._base, **suggested}, last_result=result)
        self._recorder.on_trial_complete(0, [], trial)
        written = time.perf_counter()
        self._recorder.on_experiment_end([])  # a real trial takes longer than the mirror's thread
        spent = {"suggest": asked - begun, "tell": told - ended, "record": written - told}
        spent["held"] = sum(spent.values())
        spent["mirror"] = time.perf_counter() - written
        return {name: 1000 * seconds for name, seconds in spent.items()}


def thousands(driver: Driver, trials: int) -> Iterator[dict[str, float]]:
    """Medians over each thousand of trials, and the processor's mean."""
    window: list[dict[str, float]] = []
    processor = time.process_time()
    for number in range(trials):
        window.append(driver.trial(number))
        if len(window) == EVERY or number == trials - 1:
            medians = pd.DataFrame(window).median().to_dict()
            used = 1000 * (time.process_time() - processor) / len(window)
            yield {"trials": number + 1, **medians, "processor": used}
            window, processor = [], time.process_time()


def show(line: dict[str, float]) -> None:
    """One line of the table."""
    names = ("suggest", "tell", "record", "held", "mirror", "processor")
    figures = "  ".join(f"{name} {line[name]:6.1f}" for name in names)
    print(f"{line['trials']:6.0f} trials, ms each:  {figures}", flush=True)


def as_it_was(folder: Path, trials: int) -> None:
    """A thousand trials with the mirror left out, and then some with it."""
    SAMPLERS["optuna's tpe"] = lambda seed, space, n_trials: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=10
    )
    ledger = PartPerTrial(folder)
    driver = Driver(ledger, "optuna's tpe", trials + SAMPLED, None)
    for line in thousands(driver, trials):
        show(line)
    url = f"sqlite:///{folder}/study.db"
    taken = []
    Mirror(url, "run", ledger.rows, SPACE, GOAL).add([])
    for number in range(trials, trials + SAMPLED):
        spent = driver.trial(number)
        begun = time.perf_counter()
        Mirror(url, "run", ledger.rows, SPACE, GOAL).add([])
        taken.append(spent["held"] + 1000 * (time.perf_counter() - begun))
    print(f"with its mirror, after {trials} trials: {np.median(taken):.0f} ms held")
    read(folder, trials)


def read(folder: Path, trials: int) -> None:
    """Say how long pandas and the ledger take, and what there is on disk."""
    files = list((folder / TRIALS).iterdir())
    begun = time.perf_counter()
    frame = pd.read_parquet(folder / TRIALS)
    taken = time.perf_counter() - begun
    begun = time.perf_counter()
    epochs = pd.read_parquet(folder / EPOCHS)
    of_epochs = time.perf_counter() - begun
    assert len(frame) >= trials
    assert frame["trial_id"].is_unique
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"pandas: {len(frame)} rows in {taken:.2f} s, {len(epochs)} epochs in {of_epochs:.2f} s")
    print(f"trials.parquet: {size:.1f} MB in {len(files)} files", flush=True)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, measure both ways and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--storage", choices=("sqlite", "journal"), default="sqlite")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        print("as it was")
        (Path(name) / "before").mkdir()
        as_it_was(Path(name) / "before", min(EVERY, given.trials))
        print(f"as it is, mirrored to {given.storage}")
        folder = Path(name) / "now"
        folder.mkdir()
        ledger = Ledger(folder)
        driver = Driver(ledger, "tpe", given.trials, f"{given.storage}:///{folder}/study.db")
        for line in thousands(driver, given.trials):
            show(line)
        read(folder, given.trials)
        begun = time.perf_counter()
        rows = Ledger(folder).rows()
        print(
            f"Ledger.rows of a process that begins: {len(rows)} in "
            f"{time.perf_counter() - begun:.2f} s"
        )


if __name__ == "__main__":
    main()
