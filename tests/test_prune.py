"""`prune` and `prune_once`: exact counts, the given network untouched, one line for slips."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from search.recipes import mnist5k
from tests import networks
from trainables.base.errors import InvalidInput
from trainables.models.prunable import prunable_layers
from trainables.prune import RECIPE, prune, prune_once


def blobs(count: int = 300, classes: int = 3):
    """Images of classes that a linear layer tells apart."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = generator.normal(size=(count, 1, 8, 8)) * 0.5
    images[np.arange(count), 0, labels, labels] += 4
    return images.astype(np.float32), labels


def trained(images, labels) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251 - the same network in every test
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 3))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(torch.tensor(images)), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def nonzeros(network: nn.Module) -> list[int]:
    return [int(torch.count_nonzero(weight)) for weight in prunable_layers(network).values()]


def right(network: nn.Module, images, labels) -> float:
    with torch.no_grad():
        return float((network(torch.tensor(images)).argmax(1).numpy() == labels).mean())


@pytest.mark.parametrize("pruner", ["admm", "magnitude"])
def test_the_counts_are_exact_and_the_network_still_works(pruner) -> None:
    images, labels = blobs()
    network = trained(images, labels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned = prune(network, {"1": 60, "3": 12}, images, labels, pruner=pruner)
    assert nonzeros(pruned) == [60, 12]
    assert right(pruned, images, labels) > 0.9
    assert not pruned.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    again = prune(network, [60, 12], torch.tensor(images), torch.tensor(labels), pruner=pruner)
    assert all(
        torch.equal(one, other)
        for one, other in zip(pruned.parameters(), again.parameters(), strict=True)
    )


def test_admm_keeps_more_accuracy_than_cutting_at_once() -> None:
    images, labels = blobs()
    network = trained(images, labels)
    at_once = prune_once(network, [12, 6])
    assert nonzeros(at_once) == [12, 6]
    largest = network[1].weight.detach().abs().flatten().topk(12).values.min()
    assert at_once[1].weight[at_once[1].weight != 0].abs().min() == largest
    assert right(prune(network, [12, 6], images, labels), images, labels) > right(
        at_once, images, labels
    )


def test_the_recipe_is_that_of_mnist5k() -> None:
    assert mnist5k("lenet5").admm == RECIPE
    assert mnist5k("lenet5").training.batch_size == 32


@pytest.mark.parametrize("name", ["batch_norm", "lstm", "tied"])
def test_networks_of_every_kind_are_pruned(name) -> None:
    network = networks.SOUND[name](networks.CLASSES, networks.SHAPE)
    images, labels = blobs(20)
    counts = [weight.numel() // 2 for weight in prunable_layers(network).values()]
    assert nonzeros(prune(network, counts, images, labels)) == counts


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"counts": [10]}, "1 counts for 2 layers: they are 1 1,280, 3 60"),
        ({"counts": {"1": 5}}, "counts and layers differ in '3'"),
        ({"counts": [0, 5]}, "count 0 of layer '1': give a whole number from 1 to 1280"),
        ({"counts": [10, 61]}, "count 61 of layer '3'"),
        ({"counts": [10.5, 5]}, "count 10.5 of layer '1'"),
        ({"labels": np.zeros(299)}, "do not fit images"),
        ({"labels": np.full(300, 0.5)}, "whole numbers from 0"),
        ({"labels": np.full(300, 3)}, "the network cannot be pruned"),
        ({"images": np.zeros((300, 1, 9, 9), dtype=np.float32)}, "the network cannot be pruned"),
        ({"network": nn.ReLU()}, "no weight to prune"),
        ({"pruner": "lottery"}, "pruner 'lottery' is unknown"),
    ],
)
def test_what_does_not_fit_is_one_line(changed, says) -> None:
    images, labels = blobs()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 3))
    given = {"network": network, "counts": [60, 12], "images": images, "labels": labels}
    with pytest.raises(InvalidInput) as refused:
        prune(**{**given, **changed})
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_neither_ray_nor_optuna_is_imported() -> None:
    code = (
        "import sys, trainables.audit, trainables.prune\n"
        "assert not {'ray', 'optuna'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
