"""Dense models made by the user's own function."""

import copy

import pytest
import torch
from torch.nn import functional

from trainables import plugin
from trainables.base.errors import InvalidInput
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.plugin import TRAININGS, register_training
from trainables.runs.dense import DenseRun, dense_run
from trainables.runs.own_training import OwnTraining
from trainables.training import DivergedError

TRIAL = TrialConfig(
    kind="reference",
    number=2,
    run_seed=0,
    seed=5,
    dataset="mnist5k",
    model="lenet5",
    n=(),
    training=TrainingConfig(epochs=3, batch_size=25),
    admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-2, retrain_epochs=1),
    attack=AttackConfig(),
)


@pytest.fixture(autouse=True)
def registered():
    """What a test registers is gone after it."""
    yield TRAININGS
    TRAININGS.clear()


def some_steps(network, images, labels, seed, device):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(3):
        part = torch.randperm(len(images))[:50]
        optimizer.zero_grad()
        functional.cross_entropy(network(images[part]), labels[part]).backward()
        optimizer.step()


def trained(cohort: Cohort) -> OwnTraining:
    run = dense_run(TRIAL, cohort)
    assert isinstance(run, OwnTraining)
    run.advance()
    return run


def test_without_a_function_the_recipe_trains(mnist5k_cohort: Cohort) -> None:
    assert isinstance(dense_run(TRIAL, mnist5k_cohort), DenseRun)


def test_the_function_gets_the_members_as_the_network_sees_them(mnist5k_cohort: Cohort) -> None:
    seen = {}

    def look(network, images, labels, seed, device):
        seen.update(images=images, labels=labels, seed=seed, device=device, on=network.training)

    register_training(look)
    run = trained(mnist5k_cohort)
    members, images = mnist5k_cohort.members, mnist5k_cohort.images
    assert torch.equal(seen["images"], images.batch(members))
    assert torch.equal(seen["labels"], images.labels[members])
    assert (seen["seed"], seen["device"].type, seen["on"]) == (5, "cpu", True)
    assert run.finished


def test_one_seed_gives_one_network_though_the_function_draws_globally(
    mnist5k_cohort: Cohort,
) -> None:
    register_training(some_steps)
    one, two = (trained(mnist5k_cohort).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_another_network_may_be_returned(mnist5k_cohort: Cohort) -> None:
    def returned(network, images, labels, seed, device):
        other = copy.deepcopy(network)
        with torch.no_grad():
            for value in other.parameters():
                value.zero_()
        return other

    register_training(returned)
    model = trained(mnist5k_cohort).model
    assert all(not value.any() for value in model.parameters())


def test_a_network_of_nan_is_a_diverged_training(mnist5k_cohort: Cohort) -> None:
    def spoil(network, images, labels, seed, device):
        with torch.no_grad():
            next(network.parameters()).fill_(float("nan"))

    register_training(spoil)
    with pytest.raises(DivergedError, match="nan"):
        trained(mnist5k_cohort)


def test_what_is_no_network_is_named(mnist5k_cohort: Cohort) -> None:
    register_training(lambda *_: {"weights": 1})
    with pytest.raises(TypeError, match="returned dict: return the trained network, or nothing"):
        trained(mnist5k_cohort)


def test_one_function_trains_all_models() -> None:
    register_training(some_steps)
    with pytest.raises(InvalidInput, match="was called before"):
        plugin.register_training(some_steps)
