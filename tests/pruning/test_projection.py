"""The projection onto {card(W) <= n}, against brute force and under ties."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainables.pruning.projection import keep_largest, largest_mask

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]),  # many ties and zeros
)


@given(WEIGHTS, st.data())
def test_projection_keeps_exactly_n_positions_with_ties_and_zeros(
    values: np.ndarray, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, values.size))
    mask = largest_mask(torch.from_numpy(values), n)
    assert int(mask.sum()) == n
    assert int(torch.count_nonzero(keep_largest(torch.from_numpy(values), n))) <= n


@given(WEIGHTS, st.data())
def test_projection_is_idempotent_and_leaves_its_argument_alone(
    values: np.ndarray, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, values.size))
    weight = torch.from_numpy(values.copy())
    once = keep_largest(weight, n)
    assert torch.equal(keep_largest(once, n), once)
    assert torch.equal(weight, torch.from_numpy(values))


@given(
    hnp.arrays(np.float32, st.integers(1, 7), elements=st.floats(-4, 4, width=32)),
    st.data(),
)
def test_projection_is_the_closest_point_of_all_supports(
    values: np.ndarray, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, values.size))
    distance = float(np.square(keep_largest(torch.from_numpy(values), n).numpy() - values).sum())
    best = min(
        sum(float(values[i]) ** 2 for i in range(values.size) if i not in support)
        for support in itertools.combinations(range(values.size), n)
    )
    assert distance == pytest.approx(best, abs=1e-4)


def test_projection_has_no_gradient_history() -> None:
    weight = torch.ones(3, requires_grad=True)
    assert not keep_largest(weight, 2).requires_grad


@pytest.mark.parametrize("n", [-1, 4])
def test_projection_refuses_a_count_outside_the_layer(n: int) -> None:
    with pytest.raises(ValueError, match=r"\[0, 3\]"):
        largest_mask(torch.ones(3), n)
