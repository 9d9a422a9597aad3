"""Allocation rules: exact totals, bounds, and what their papers say of simple networks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.pruning.uniform_erk_lamp import (
    ALLOCATIONS,
    comparators,
    erk,
    global_magnitude,
    lamp,
    uniform,
    uniform_plus,
)


def network(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv": (6, 1, 5, 5), "wide": (120, 40), "head": (10, 84)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("rule", ALLOCATIONS)
@given(keep=st.floats(0.001, 1), seed=st.integers(0, 20))
def test_every_rule_gives_the_exact_total_within_every_layers_bounds(
    rule: str, keep: float, seed: int
) -> None:
    weights = network(seed)
    sizes = [weight.numel() for weight in weights.values()]
    counts = ALLOCATIONS[rule](weights, keep)
    assert sum(counts) == min(max(round(keep * sum(sizes)), len(sizes)), sum(sizes))
    assert all(1 <= n <= size for n, size in zip(counts, sizes, strict=True))


def test_uniform_keeps_the_same_share_everywhere() -> None:
    weights = network()
    for n, weight in zip(uniform(weights, 0.3), weights.values(), strict=True):
        assert n == pytest.approx(0.3 * weight.numel(), abs=1)


def test_erk_keeps_small_layers_denser_in_proportion_to_its_formula() -> None:
    weights = network()
    counts = erk(weights, 0.05)
    share = [n / w.numel() for n, w in zip(counts, weights.values(), strict=True)]
    formula = [sum(w.shape) / w.numel() for w in weights.values()]
    assert share[1] / share[2] == pytest.approx(formula[1] / formula[2], rel=0.05)
    assert min(share[0], share[2]) > 3 * share[1]


def test_global_magnitude_agrees_with_sorting_everything() -> None:
    weights = network()
    flat = torch.cat([weight.abs().flatten() for weight in weights.values()])
    threshold = flat.sort(descending=True).values[round(0.2 * flat.numel()) - 1]
    expected = [int((weight.abs() >= threshold).sum()) for weight in weights.values()]
    assert global_magnitude(weights, 0.2) == tuple(expected)


def test_lamp_scores_follow_their_definition() -> None:
    weights = network()
    scores = []
    for weight in weights.values():
        squares = np.sort(np.square(weight.flatten().double().numpy()))
        scores.append([s / squares[i:].sum() for i, s in enumerate(squares)])
    everything = sorted((s for layer in scores for s in layer), reverse=True)
    threshold = everything[round(0.2 * len(everything)) - 1]
    expected = tuple(sum(s >= threshold * (1 - 1e-12) for s in layer) for layer in scores)
    assert lamp(weights, 0.2) == expected


def test_weights_are_left_alone() -> None:
    weights = network()
    before = {name: weight.clone() for name, weight in weights.items()}
    for rule in ALLOCATIONS.values():
        rule(weights, 0.1)
    assert all(torch.equal(weights[name], before[name]) for name in weights)


@given(data=st.data(), shapes=st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_comparators_have_exactly_the_winners_number_of_weights(
    data: st.DataObject, shapes: list[int]
) -> None:
    total = data.draw(st.integers(len(shapes), sum(shapes)))
    weights = {f"layer{i}": torch.linspace(-1, i + 1, size) for i, size in enumerate(shapes)}
    found = comparators(weights, total)
    assert set(found) == set(ALLOCATIONS)
    for counts in found.values():
        assert sum(counts) == total
        assert all(1 <= n <= size for n, size in zip(counts, shapes, strict=True))


@pytest.mark.parametrize("total", [2, 5791])
def test_comparators_refuse_a_total_that_no_vector_has(total: int) -> None:
    with pytest.raises(ValueError, match=f"{total} non-zeros do not fit 3 layers of 5790"):
        comparators(network(), total)


@given(total=st.integers(500, 5790))
def test_uniform_plus_spares_the_first_convolution_and_a_fifth_of_the_last_layer(
    total: int,
) -> None:
    conv, wide, head = comparators(network(), total)["uniform+"]
    assert conv == 150
    assert head >= 168
    assert head == 168 or head / 840 == pytest.approx(wide / 4800, abs=2 / 840)


def test_uniform_plus_is_uniform_where_the_total_cannot_bear_its_exceptions() -> None:
    assert uniform_plus(network(), 0.02) == uniform(network(), 0.02)
