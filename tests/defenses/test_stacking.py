"""Model stacking: disjoint parts, and a joint that is scikit-learn's logistic regression."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from trainables.base.seeding import seeded_torch
from trainables.defenses.stacking import Stack, fit_join, three_parts


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=200),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 100),
)
def test_the_parts_are_disjoint_stratified_and_together_all_members(
    labels: list[int], share: float, seed: int
) -> None:
    values = torch.tensor(labels)
    parts = three_parts(values, share, seed)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    for label in set(labels):
        first, second, meta = (int((values[part] == label).sum()) for part in parts)
        assert abs(first - second) <= 1
        assert abs(meta - share * labels.count(label)) <= 0.5


def test_the_parts_follow_from_the_seed() -> None:
    labels = torch.arange(300) % 3
    one, same, other = (three_parts(labels, 0.2, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def stack(n_classes: int) -> Stack:
    with seeded_torch(0, "test"):
        return Stack(nn.Linear(6, n_classes), nn.Linear(6, n_classes), n_classes).eval()


def rows(n_classes: int) -> tuple[Stack, Tensor, Tensor]:
    network = stack(n_classes)
    images = torch.randn(120, 6, generator=torch.Generator().manual_seed(1))
    return network, images, network.first(images).argmax(1)


def test_before_the_joint_is_fitted_the_stack_is_the_mean_of_both() -> None:
    network, images, _ = rows(4)
    mean = (network.first(images).softmax(1) + network.second(images).softmax(1)) / 2
    torch.testing.assert_close(network(images), mean)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_joint_answers_as_the_logistic_regression_does(n_classes: int) -> None:
    network, images, labels = rows(n_classes)
    sides = network.posteriors(images).detach()
    fit_join(network, sides, labels)
    oracle = LogisticRegression(max_iter=1000).fit(sides.double().numpy(), labels.numpy())
    expected = oracle.predict_proba(sides.double().numpy())
    found = network(images).softmax(1).detach().double().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_class_that_the_third_part_lacks_is_never_answered() -> None:
    network, images, labels = rows(4)
    sides = network.posteriors(images).detach()
    present = labels != 2
    fit_join(network, sides[present], labels[present])
    assert (network(images).softmax(1)[:, 2] < 1e-3).all()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
def test_posteriors_are_joined_in_float32_whatever_the_networks_precision(precision) -> None:
    network = stack(4)
    network.first.to(precision)
    network.second.to(precision)
    images = torch.randn(120, 6, generator=torch.Generator().manual_seed(1)).to(precision)
    logits = network(images)
    assert network.posteriors(images).dtype == logits.dtype == torch.float32
    exact = network.first(images).float().softmax(1)
    assert torch.equal(network.posteriors(images)[:, :4], exact)
