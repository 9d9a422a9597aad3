"""What Ray, Tune, the sampler and the ledger add to a search: its wall time over the ideal one.

`python -m tests.benchmarks.bench_overhead [RUN]`: a search of 40 trials of mnist5k, of about three
seconds each, on two slots, or the search of a run that is there.  The ideal is all trials' own
time, attacks included, divided by the slots.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

SLOTS, TRIALS = 2, 40

SEARCH = ("--trials", TRIALS, "--concurrency", SLOTS, "--no-race", "--confirm-top", 1)


def overhead(trials: pd.DataFrame, slots: int) -> float:
    """From the first start to the last end of the search, over the ideal; 1 is perfect."""
    own = trials[trials["kind"].isin(["anchor", "search"])]
    ends = own["started_at"] + pd.to_timedelta(own["duration_s"], "s")
    span = (ends.max() - own["started_at"].min()).total_seconds()
    return span / (own["duration_s"].sum() / slots)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, search where no run is given, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN")
    parser.add_argument("--slots", type=int, default=SLOTS)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        run = given.run or Path(name) / "run"
        if given.run is None:
            command = [sys.executable, "-m", "search.run", "--quiet", *map(str, SEARCH)]
            subprocess.run([*command, "--out", run], check=True, stdout=subprocess.DEVNULL)
        trials = pd.read_parquet(run / "trials.parquet")
    own = trials[trials["kind"].isin(["anchor", "search"])]
    found = overhead(trials, given.slots)
    print(
        f"{len(own)} trials of {own['duration_s'].median():.1f} s (median) on {given.slots} slots: "
        f"{found:.3f} times the ideal wall time"
    )


if __name__ == "__main__":
    main()
