"""ADMM in the scaled form, step by step against its equations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.launches import Launches
from trainables.pruning.admm import ADMM
from trainables.pruning.projection import keep_largest


def weights(seed: int = 0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": nn.Parameter(torch.randn(4, 3, generator=generator)),
        "b": nn.Parameter(torch.randn(5, generator=generator)),
    }


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(1e-4, 10))
def test_added_gradient_is_that_of_the_squared_penalty(seed: int, rho: float) -> None:
    layers = weights(seed)
    admm = ADMM(layers, (5, 2), rho)
    admm.update()
    expected = torch.autograd.grad(admm.penalty(), list(layers.values()))
    for weight in layers.values():
        weight.grad = torch.zeros_like(weight)
    admm.add_penalty_gradient()
    for weight, gradient in zip(layers.values(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_the_gradient_of_all_layers_takes_three_launches() -> None:
    layers = weights()
    admm = ADMM(layers, (5, 2), 0.1)
    for weight in layers.values():
        weight.grad = torch.zeros_like(weight)
    with Launches() as launches:
        admm.add_penalty_gradient()
    assert [name for name in launches.names if name != "detach"] == [
        "_foreach_sub",
        "_foreach_add_",
        "_foreach_add_",
    ]


def test_penalty_is_half_rho_times_the_squared_norm() -> None:
    layers = {"a": nn.Parameter(torch.tensor([3.0, 4.0]))}
    admm = ADMM(layers, (1,), 0.5)  # Z = (0, 4), U = 0: ||W - Z||^2 = 9
    assert admm.penalty().item() == pytest.approx(0.25 * 9)


def test_update_follows_the_equations() -> None:
    layers = weights()
    admm = ADMM(layers, (5, 2), 0.1)
    for _ in range(3):
        before = {name: (admm.Z[name].clone(), admm.U[name].clone()) for name in layers}
        residuals = admm.update()
        primal = dual = norm = 0.0
        for (name, weight), n in zip(layers.items(), (5, 2), strict=True):
            old_z, old_u = before[name]
            torch.testing.assert_close(admm.Z[name], keep_largest(weight + old_u, n))
            torch.testing.assert_close(admm.U[name], old_u + weight.detach() - admm.Z[name])
            primal += (weight - admm.Z[name]).square().sum().item()
            dual += (admm.Z[name] - old_z).square().sum().item()
            norm += weight.square().sum().item()
        assert residuals.primal == pytest.approx(np.sqrt(primal / norm))
        assert residuals.dual == pytest.approx(np.sqrt(dual / norm))


def test_z_and_u_carry_no_gradient_and_w_is_not_written_to() -> None:
    layers = weights()
    before = {name: weight.detach().clone() for name, weight in layers.items()}
    admm = ADMM(layers, (5, 2), 0.1)
    admm.update()
    assert not any(t.requires_grad for t in [*admm.Z.values(), *admm.U.values()])
    assert all(torch.equal(layers[name], before[name]) for name in layers)


def test_growing_rho_keeps_the_unscaled_dual() -> None:
    layers = weights()
    admm = ADMM(layers, (5, 2), 0.1)
    admm.update()
    unscaled = {name: admm.rho * dual for name, dual in admm.U.items()}
    admm.grow_rho(4.0)
    assert admm.rho == pytest.approx(0.4)
    for name, dual in admm.U.items():
        torch.testing.assert_close(admm.rho * dual, unscaled[name])


def test_state_survives_a_round_trip() -> None:
    layers = weights()
    admm = ADMM(layers, (5, 2), 0.1)
    admm.update()
    admm.grow_rho(2.0)
    other = ADMM(layers, (5, 2), 0.1)
    other.load_state_dict(admm.state_dict())
    assert other.rho == admm.rho
    for name in layers:
        assert torch.equal(other.Z[name], admm.Z[name])
        assert torch.equal(other.U[name], admm.U[name])


def test_admm_solves_a_sparse_least_squares_problem() -> None:
    """min ||W - target||^2 with card(W) <= 2: W and Z must agree on the two largest of target."""
    target = torch.tensor([3.0, -0.2, 0.1, -2.0])
    weight = nn.Parameter(torch.zeros(4))
    admm = ADMM({"w": weight}, (2,), 1.0)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(60):
        for _ in range(30):
            optimizer.zero_grad()
            (0.5 * (weight - target).square().sum()).backward()
            admm.add_penalty_gradient()
            optimizer.step()
        residuals = admm.update()
    torch.testing.assert_close(admm.Z["w"], keep_largest(target, 2), atol=1e-2, rtol=0)
    assert residuals.primal < 1e-2
    assert residuals.dual < 1e-2


def test_a_layer_without_gradient_in_a_step_gets_the_penalty_alone() -> None:
    admm = ADMM(weights(), (5, 2), 0.1)
    admm.U = {name: torch.ones_like(dual) for name, dual in admm.U.items()}
    admm.add_penalty_gradient()
    for name, weight in admm._weights.items():
        assert torch.allclose(weight.grad, 0.1 * (weight - admm.Z[name] + admm.U[name]))
