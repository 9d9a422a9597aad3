"""Tabulates vectors of LeNet-5 on mnist5k, eight models each, for simulated searches.

`python -m tests.benchmarks.tabulate TABLE [--vectors N] [--seed S] [--workers 2] [--minutes M]`, or
`make bench-tabulate`: about 25 s of a core a vector.  It can be stopped and run again at any time;
a vector that is in the table is not measured again.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.eight_models import EightModels, deciding, preset
from tests.benchmarks.planned_vectors import Planned, planned
from tests.benchmarks.table import MODELS, Table

_made: dict[str, Any] = {}
"""What a worker process makes once: its EightModels."""


def begin(seed: int, folder: str, first: int) -> None:
    """Load data and dense models of the halves from `first` on into this process."""
    torch.set_num_threads(1)
    _made["models"] = EightModels(seed, Path(folder), first)


def measured(number: int, vector: Planned) -> dict[str, Any]:
    """A row of the table, from this process's models."""
    row: dict[str, Any] = _made["models"].measure(number, vector)
    return row


Chooser = Callable[[EightModels], Sequence[tuple[int, Planned]]]
"""What is to be measured, each under its number, once the dense models are there."""


def first_planned(vectors: int, seed: int) -> Chooser:
    """The first `vectors` of the planned ones."""

    def chosen(models: EightModels) -> list[tuple[int, Planned]]:
        return list(enumerate(planned(models.space, models.weights, seed)[:vectors]))

    return chosen


def tabulate(
    table: Table,
    choose: Chooser,
    *,
    seed: int,
    workers: int,
    minutes: float | None = None,
    first: int = 0,
) -> int:
    """Measure the chosen vectors that the table lacks; how many were added.

    minutes: no vector is begun later than this; those in work are finished.
    first: the first of the eight halves.
    Raises InvalidInput where the table was begun with other settings.
    """
    until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    start = (seed, str(table.folder / "_dense"), first)
    table.begin(
        {"settings": deciding(preset(seed)), "seed": seed, "models": MODELS, "first half": first}
    )
    begin(*start)  # trains the dense models, so that the workers find them
    models: EightModels = _made["models"]
    there = table.numbers()
    if -1 not in there:
        table.put(models.dense())
    todo = [one for one in choose(models) if one[0] not in there]
    found: Iterator[dict[str, Any]]
    if workers == 1:
        found = (measured(*one) for one in todo if time.monotonic() < until)
    else:
        found = _in_parallel(todo, workers, start, until)
    added = 0
    for row in found:
        table.put(row)
        added += 1
        print(f"{added} of {len(todo)}: vector {row['number']} ({row['source']})", flush=True)
    return added


def _in_parallel(
    todo: Sequence[tuple[int, Planned]],
    workers: int,
    start: tuple[int, str, int],
    until: float,
) -> Iterator[dict[str, Any]]:
    """Rows as they are finished; no more vectors are handed out than there are workers."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=begin, initargs=start)
    with pool:
        running: set[Future[dict[str, Any]]] = set()
        for number, vector in todo:
            if time.monotonic() >= until:
                break
            running.add(pool.submit(measured, number, vector))
            if len(running) >= workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(running))


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and tabulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="TABLE")
    parser.add_argument("--vectors", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float)
    given = parser.parse_args(words)
    table = Table(given.out)
    added = tabulate(
        table,
        first_planned(given.vectors, given.seed),
        seed=given.seed,
        workers=given.workers,
        minutes=given.minutes,
    )
    table.pack()
    print(f"{added} vectors were added; {len(table.rows()) - 1} are there")


if __name__ == "__main__":
    main()
