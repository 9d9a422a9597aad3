"""What the search buys over other ways to spend the same models: simulations, pictures, a page.

`python -m tests.benchmarks.bench_search OUT_DIR --table TABLE [--seeds N] [--workers 2]
[--page FILE]`, or `make bench-search`.  OUT_DIR gets results.parquet, one row per blackbox, method,
seed and budget, and winners.parquet, the winners that were then trained for real.  What is there of
the same table and seeds is not made again: remove results.parquet after a change of a method.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks import afresh, search_figures
from tests.benchmarks.best_known import Front, best_known
from tests.benchmarks.blackbox import Blackbox, Surrogates, held_out, logarithms, tabulated
from tests.benchmarks.eight_models import preset
from tests.benchmarks.methods import RACE
from tests.benchmarks.scores import with_matched
from tests.benchmarks.search_page import Story, page
from tests.benchmarks.simulate import BUDGETS, simulate
from tests.benchmarks.synthetic import mobilenetv2
from tests.benchmarks.table import Table

COMPARED = 200
"""Trained models at which methods are compared; where that is no budget, the largest is."""

RESULTS, ABOUT, WINNERS = "results.parquet", "about.json", "winners.parquet"

CPU_INFO = Path("/proc/cpuinfo")


def results(
    blackboxes: Sequence[Blackbox], about: dict[str, Any], out: Path, workers: int
) -> pd.DataFrame:
    """The simulations, from OUT_DIR where they were made alike."""
    out.mkdir(parents=True, exist_ok=True)
    written = out / ABOUT
    if written.exists() and json.loads(written.read_text()) == about:
        return pd.read_parquet(out / RESULTS)
    written.unlink(missing_ok=True)
    frame = simulate(blackboxes, seeds=about["seeds"], workers=workers, budgets=about["budgets"])
    frame.to_parquet(out / RESULTS)
    written.write_text(json.dumps(about, indent=2) + "\n")
    return frame


def surrogate_error(blackbox: Blackbox, frame: pd.DataFrame) -> float:
    """Median standard error of the leak at the race's winners of a tabulated blackbox, nats."""
    rows = frame[(frame["blackbox"] == blackbox.name) & (frame["method"] == RACE) & frame["found"]]
    if rows.empty or not isinstance(blackbox.expected, Surrogates):
        return float("nan")
    x = logarithms(np.stack(rows["n"].to_list()), blackbox.layer_weights)
    return float(np.median(blackbox.expected.of["leak"].error(x)))


def machine() -> str:
    """The processor and the number of its cores that are here."""
    names = [
        line.partition(":")[2].strip()
        for line in (CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else [])
        if line.startswith("model name")
    ]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {name}, Python {platform.python_version()}"


def drawn(
    frame: pd.DataFrame, blackbox: Blackbox, front: Front, budget: int, folder: Path
) -> dict[str, str]:
    """Write a blackbox's pictures; what each shows and its file's name."""
    rows, bound = frame[frame["blackbox"] == blackbox.name], blackbox.config.max_accuracy_drop
    stem = "bench-search-" + blackbox.name.partition(",")[0].partition("'")[0].lower()
    files = {"by budget": f"{stem}-budgets.png", "winners": f"{stem}-winners.png"}
    search_figures.by_budget(rows, front.at(bound), folder / files["by budget"])
    search_figures.winners(rows, budget, front, bound, folder / files["winners"])
    return files


def _command(about: dict[str, Any]) -> str:
    """What makes the table and the page again, two lines of a Markdown block of code."""
    vectors = f"--vectors {about['vectors']} --seed {about['table']['seed']}"
    tabulate, simulated = f'ARGS="{vectors}"', f'ARGS="--seeds {about["seeds"]}"'
    return f"make bench-tabulate {tabulate}\n    make bench-search {simulated}"


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, simulate what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--table", type=Path, required=True, metavar="TABLE")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), metavar="N")
    parser.add_argument("--page", type=Path, default=Path("docs/bench-search.md"))
    given = parser.parse_args(words)
    table = Table(given.table)
    blackbox = tabulated(table, preset(table.about["seed"]))
    blackboxes = [blackbox, mobilenetv2(blackbox.config, blackbox.noise)]
    about = {
        "table": table.about,
        "vectors": len(table.rows()) - 1,
        "seeds": given.seeds,
        "budgets": given.budgets,
    }
    frame = results(blackboxes, about, given.out, given.workers)
    budget = COMPARED if COMPARED in given.budgets else max(given.budgets)
    fronts = {one.name: best_known(one) for one in blackboxes}
    frame = with_matched(frame, fronts, blackbox.config.max_accuracy_drop)
    folder = given.page.parent
    folder.mkdir(parents=True, exist_ok=True)
    rows = afresh.checked(frame, blackbox.name, budget)
    new = afresh.measure_afresh(
        rows, given.out / WINNERS, seed=about["table"]["seed"], workers=given.workers
    )
    story = Story(
        frame=frame,
        blackboxes=blackboxes,
        fronts=fronts,
        held_out=held_out(table),
        surrogate_error=surrogate_error(blackbox, frame),
        budget=budget,
        afresh=afresh.beside(rows, new),
        vectors=about["vectors"],
        command=_command(about),
        machine=machine(),
        pictures={
            one.name: drawn(frame, one, fronts[one.name], budget, folder) for one in blackboxes
        },
    )
    given.page.write_text(page(story))
    print(f"{len(frame)} simulated runs; the page is {given.page}")


if __name__ == "__main__":
    main()
