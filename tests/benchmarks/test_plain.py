"""The plain reference does what the paper says, or a comparison with it would mean nothing."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.benchmarks.plain import Epochs, attack_gain, plain_trial
from trainables.base.seeding import seeded_torch

EPOCHS = Epochs(dense=2, admm=4, between_updates=2, retraining=2, attack=30)


def images(count: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(count, 8, generator=generator), torch.arange(count) % 3)


class Memory(nn.Module):
    """Sure of the images that it has seen, and of nothing else."""

    def __init__(self, seen: TensorDataset) -> None:
        super().__init__()
        self.images, self.labels = seen.tensors

    def forward(self, asked: torch.Tensor) -> torch.Tensor:
        same = (asked[:, None] == self.images[None]).all(-1)
        answers = nn.functional.one_hot(self.labels, 3).float()
        return 9.0 * same.float() @ answers


def test_a_trial_leaves_no_more_weights_than_it_may() -> None:
    with seeded_torch(0, "test"):
        network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        n = {"0.weight": 20, "2.weight": 11}
        found = plain_trial(network, images(60, 0), images(60, 1), n, EPOCHS)
    left = {name: int(found.model.get_parameter(name).count_nonzero()) for name in n}
    assert left == n
    assert int(network[0].weight.count_nonzero()) == 128  # the dense one is not touched
    assert -math.log(4) <= found.attack_gain < 0


def test_f_a_finds_what_a_memory_gives_away_and_nothing_where_nothing_is() -> None:
    members, others = images(200, 0), images(200, 1)
    with seeded_torch(0, "test"):
        leaks = attack_gain(Memory(members), members, others, EPOCHS.attack)
        blind = attack_gain(Memory(images(5, 2)), members, others, EPOCHS.attack)
    assert leaks > -0.1
    assert blind < leaks - 1
