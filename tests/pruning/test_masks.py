"""Masks: a pruned weight, its gradient and its optimiser state stay zero."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.launches import Launches
from trainables.pruning.masks import Masks


def layer(seed: int, size: int = 12) -> nn.Parameter:
    return nn.Parameter(torch.randn(size, generator=torch.Generator().manual_seed(seed)))


@given(st.integers(0, 200), st.integers(0, 12), st.sampled_from(["adam", "sgd"]))
def test_training_never_revives_a_pruned_weight(seed: int, n: int, name: str) -> None:
    weight = layer(seed)
    optimizer: torch.optim.Optimizer = (
        torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)
        if name == "adam"
        else torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.1)
    )
    for _ in range(3):  # momentum that the prune must not inherit
        optimizer.zero_grad()
        (weight - 1).square().sum().backward()
        optimizer.step()
    masks = Masks.of_largest({"w": weight}, (n,))
    masks.apply()
    masks.apply_to_optimizer(optimizer)
    for _ in range(5):
        optimizer.zero_grad()
        (weight - 1).square().sum().backward()
        masks.apply_to_gradients()
        optimizer.step()
        masks.apply()
        masks.apply_to_optimizer(optimizer)
    masks.assert_exact((n,))
    assert int(torch.count_nonzero(weight)) == n
    for value in optimizer.state[weight].values():
        if isinstance(value, torch.Tensor) and value.shape == weight.shape:
            assert not value[~masks.masks["w"]].any()


def test_exactness_is_asserted_against_revived_weights_and_wrong_counts() -> None:
    weight = layer(0)
    masks = Masks.of_largest({"w": weight}, (4,))
    with pytest.raises(AssertionError, match="8 pruned weights are non-zero"):
        masks.assert_exact((4,))
    masks.apply()
    masks.assert_exact((4,))
    with pytest.raises(AssertionError, match="n_i is 5"):
        masks.assert_exact((5,))


def test_masks_of_other_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Masks({"w": layer(0)}, {"v": torch.ones(12, dtype=torch.bool)})


def test_gradients_of_untouched_layers_may_be_absent() -> None:
    weight = layer(0)
    Masks.of_largest({"w": weight}, (4,)).apply_to_gradients()
    assert weight.grad is None


def test_all_layers_are_masked_by_one_launch_whatever_their_layout() -> None:
    weights = {
        name: nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=layout))
        for name, layout in {"a": torch.channels_last, "b": torch.contiguous_format}.items()
    }
    masks = Masks.of_largest(weights, (7, 9))
    for weight in weights.values():
        weight.grad = torch.ones_like(weight)
    with Launches() as launches:
        masks.apply()
        masks.apply_to_gradients()
    assert launches.names == ["_foreach_mul_", "_foreach_mul_"]
    for factor, weight in zip(masks._factors, weights.values(), strict=True):
        assert factor.stride() == weight.stride()  # else CUDA takes each layer for itself
    masks.assert_exact((7, 9))
    assert [int(weight.grad.sum()) for weight in weights.values()] == [7, 9]
