"""All benchmarks of speed, one after the other, and a page of what they printed.

`python -m tests.benchmarks.bench [--page FILE] [--only NAME ...]`, or `make bench`, with nothing
else running.  Each compares two things in one run and has a `--help` of its own.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from tests.benchmarks.bench_search import machine

BENCHES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "trial": ("One trial, against the same as plainly written from the paper", ()),
    "overhead": ("What Ray, Tune, the sampler and the ledger add to a search", ()),
    "driver": ("The driver, from the first trial to the 10,000th", ("--storage", "journal")),
    "width": ("Searches on 8, 64 and 512 slots", ("--seeds", "12")),
    "decoding": ("Images from files, decoded every time or kept decoded", ()),
    "gpu": ("A trial's parts on a GPU", ()),
}
"""Module `bench_NAME` -> what it is about, and its arguments here."""

GPU = "gpu"


def sections(names: Sequence[str]) -> Iterator[str]:
    """Markdown of each benchmark: its command, what it printed and how long it took."""
    for name in names:
        title, arguments = BENCHES[name]
        if name == GPU and not torch.cuda.is_available():
            yield f"## {title}\n\nNot run: torch sees no GPU here."
            continue
        words = ["-m", f"tests.benchmarks.bench_{name}", *arguments]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *words], stdout=subprocess.PIPE, text=True, check=True
        )
        took = time.monotonic() - began
        command = " ".join(["python", *words])
        yield f"## {title}\n\n`{command}`, {took:.0f} s:\n\n```text\n{done.stdout.strip()}\n```"


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("docs/bench.md"))
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES), metavar="NAME")
    given = parser.parse_args(words)
    page = [f"# Speed\n\n`make bench` on {machine()}, torch {torch.__version__}."]
    for section in sections(given.only):
        page.append(section)
        print(section, flush=True)
    given.page.write_text("\n\n".join(page) + "\n")
    print(f"the page is {given.page}")


if __name__ == "__main__":
    main()
