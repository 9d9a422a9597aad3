"""The winners of finished runs, made again on halves of which their runs knew nothing.

`python -m tests.benchmarks.remeasured RUN... [--models 16] [--workers 2]`: about two minutes of a
core for each run of the main job.  What a run prints of its winner comes from halves that chose
among the confirmed vectors; these chose nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from analysis.load import load_run
from analysis.statistics import confirmed_winner
from search.search_options import SearchConfig
from tests.benchmarks.eight_models import EightModels, preset

FRESH = 128
"""The first half that is used, beyond all that a run and its resumes train on."""


def remeasured(run: Path, models: int) -> dict[str, object]:
    """The winner of a run beside its dense network.

    Raises SystemExit for a run that has none, is of another job or has used the fresh halves.
    """
    torch.set_num_threads(1)
    found = load_run(run)
    config = SearchConfig.from_dict(json.loads((run / "config.json").read_text())["search"])
    ours = preset(config.seed)
    same = ("dataset", "model", "limit", "duplicates", "training", "admm", "attack", "pruner")
    if any(getattr(config, name) != getattr(ours, name) for name in same):
        raise SystemExit(f"{run} is not a run of `make search`")
    best = confirmed_winner(found.trials, found.config, found.crossed)
    if best is None or config.dense_models > FRESH:
        raise SystemExit(f"{run} has no winner, or more than {FRESH} models")
    with tempfile.TemporaryDirectory() as folder:
        made = EightModels(config.seed, Path(folder), FRESH, models)
    return {
        "run": run.name,
        "seed": config.seed,
        "kept": best["kept"],
        "models_of_run": int(best["seeds"]),
        **made.beside_dense(tuple(best["n"])),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(words)
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        rows = list(pool.map(remeasured, given.runs, [given.models] * len(given.runs)))
    frame = pd.DataFrame(rows)
    print(frame.round(4).to_string(index=False))
    print(f"largest less smallest ratio {frame['ratio'].max() - frame['ratio'].min():.3f}")


if __name__ == "__main__":
    main()
