"""A trial of the search against the same trial as plainly written from the paper, in one run.

`python -m tests.benchmarks.bench_trial [--rounds N]`: LeNet-5 on mnist5k, one thread, in turn on
the same {n_i}, members and non-members.  Both models are then judged alike: test accuracy, and the
excess gain of the search's attacks with the dense models of other halves as references.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tests.benchmarks.eight_models import EightModels
from tests.benchmarks.plain import Epochs, plain_trial
from tests.benchmarks.planned_vectors import published
from trainables.attacks.gain import NO_LEAK
from trainables.base.seeding import seeded_torch
from trainables.data.cohort import Cohort
from trainables.measure import released_correct
from trainables.network import new_network
from trainables.training import predict

VECTORS = (("erk", 0.08), ("uniform", 0.2))
"""Allocations that lose about a point of accuracy."""


@dataclasses.dataclass(frozen=True)
class Plain:
    """A network that answers as a run does."""

    model: nn.Module
    cohort: Cohort

    def predict(self, indices: Tensor) -> Tensor:
        """(m,) positions -> (m, k) logits."""
        return predict(self.model, self.cohort.images, indices)


def measured(models: EightModels, rounds: int) -> pd.DataFrame:
    """A row of each trial: who, vector, seconds, accuracy, excess gain, and f_A's of the plain."""
    rows = []
    for number in range(rounds):
        for rule, level in VECTORS:
            vector = published(rule, models.weights, level)
            about = {"vector": f"{rule} {level}", "round": number}
            began = time.perf_counter()
            run = models.pruned(0, vector.n)
            released_correct(run, models.on(0), models.on(0).validation)
            models.excess_gain(run, 0)
            ours = time.perf_counter() - began
            rows.append({**about, "who": "ours", "seconds": ours, **models.judged(run)})
            plain, f_a, taken = _plainly(models, vector.n, number)
            rows.append(
                {**about, "who": "plain", "seconds": taken, "f_a": f_a, **models.judged(plain)}
            )
    return pd.DataFrame(rows)


def _plainly(models: EightModels, n: tuple[int, ...], seed: int) -> tuple[Plain, float, float]:
    config, cohort = models.config, models.on(0)
    network = new_network(models.trial("baseline", seed, ()), cohort)
    members, others = (
        TensorDataset(cohort.images.batch(part).contiguous(), cohort.images.labels[part])
        for part in (cohort.members, cohort.non_members)
    )
    epochs = Epochs(
        dense=config.training.epochs,
        admm=config.admm.iterations * config.admm.epochs_per_iteration,
        between_updates=config.admm.epochs_per_iteration,
        retraining=config.admm.retrain_epochs,
    )
    counts = {f"{layer}.weight": k for layer, k in zip(models.weights, n, strict=True)}
    began = time.perf_counter()
    with seeded_torch(seed, "plain"):
        found = plain_trial(network, members, others, counts, epochs)
    taken = time.perf_counter() - began
    return Plain(found.model, cohort), found.attack_gain - NO_LEAK, taken


def page(rows: pd.DataFrame) -> str:
    """Medians and ratios, as the terminal shows them."""
    middle = rows.groupby("who")[["seconds", "test_accuracy", "excess_gain"]].mean()
    seconds = rows.groupby("who")["seconds"].median()
    paired = rows.pivot_table(index=["vector", "round"], columns="who", values="seconds")
    times = np.median(paired["plain"] / paired["ours"])
    return "\n".join(
        [
            middle.round(4).to_string(),
            f"trials a minute, one core: ours {60 / seconds['ours']:.1f}, plain "
            f"{60 / seconds['plain']:.2f}: {times:.1f} times as many (median of {len(paired)})",
            f"the plain f_A's own excess gain: {rows['f_a'].mean():.4f} nats",
        ]
    )


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dense", type=Path, help="where the dense models lie, or will [none]")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        models = EightModels(0, given.dense or Path(name))
        print(page(measured(models, given.rounds)))


if __name__ == "__main__":
    main()
