"""ADMM weight pruning in the scaled form (eq. 2; Zhang et al. 2018, eq. 7 to 11).

    min loss(W) + sum_i g_i(Z_i)   s.t.  W_i = Z_i,   g_i the indicator of {card(Z_i) <= n_i}

W-step: SGD or Adam on loss + sum_i rho/2 ||W_i - Z_i + U_i||_F^2
Z-step: Z_i = projection of W_i + U_i onto {card <= n_i}
U-step: U_i = U_i + W_i - Z_i

Notation: W weight, Z its sparse copy, U the scaled dual variable, rho the penalty.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.pruning.projection import keep_largest


@dataclasses.dataclass(frozen=True, slots=True)
class Residuals:
    """How far ADMM is from agreement after an iteration, relative to ||W||, over all layers."""

    primal: float
    """||W - Z|| / ||W||: what the hard prune will cut away."""

    dual: float
    """||Z_new - Z_old|| / ||W||: whether the pattern still moves."""


class ADMM:
    """Z, U and rho of one trial; W stays in the model."""

    def __init__(self, weights: Mapping[str, nn.Parameter], n: tuple[int, ...], rho: float) -> None:
        """weights: name -> W, in layer order.  n: {n_i}.  Z0 = projection of W, U0 = 0."""
        self._weights = dict(weights)
        self._n = dict(zip(weights, n, strict=True))
        self.rho = rho
        self.Z = {name: keep_largest(w, self._n[name]) for name, w in self._weights.items()}
        self.U = {name: torch.zeros_like(w, requires_grad=False) for name, w in weights.items()}

    def penalty(self) -> Tensor:
        """sum_i rho/2 ||W_i - Z_i + U_i||_F^2, differentiable in W."""
        terms = [
            (weight - self.Z[name] + self.U[name]).square().sum()
            for name, weight in self._weights.items()
        ]
        return self.rho / 2 * torch.stack(terms).sum()

    @torch.no_grad()
    def add_penalty_gradient(self) -> None:
        """Add rho (W - Z + U), the gradient of `penalty`, without building its graph.

        A layer that the loss did not reach in this step (it was dropped, or another expert was
        chosen) has the penalty's gradient alone.
        """
        weights: list[Tensor] = [*self._weights.values()]
        sparse, dual = ([kept[name] for name in self._weights] for kept in (self.Z, self.U))
        gradients = []
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
        # one launch a layer would be most of a step on a GPU
        apart = torch._foreach_sub(weights, sparse)  # noqa: SLF001 - as torch's own optimisers do
        torch._foreach_add_(apart, dual)
        torch._foreach_add_(gradients, apart, alpha=self.rho)

    @torch.no_grad()
    def update(self) -> Residuals:
        """The Z-step and the U-step, after a W-step."""
        primal = dual = norm = 0.0
        for name, weight in self._weights.items():
            previous = self.Z[name]
            self.Z[name] = keep_largest(weight + self.U[name], self._n[name])
            self.U[name] = self.U[name] + weight.detach() - self.Z[name]
            primal += float((weight - self.Z[name]).square().sum())
            dual += float((self.Z[name] - previous).square().sum())
            norm += float(weight.square().sum())
        scale = max(norm, torch.finfo(torch.float32).tiny)
        return Residuals(primal=(primal / scale) ** 0.5, dual=(dual / scale) ** 0.5)

    @torch.no_grad()
    def grow_rho(self, factor: float) -> None:
        """Multiply rho; U is the dual divided by rho, so it shrinks by the same factor."""
        self.rho *= factor
        self.U = {name: dual / factor for name, dual in self.U.items()}

    def state_dict(self) -> dict[str, Any]:
        """Z, U and rho."""
        return {"Z": self.Z, "U": self.U, "rho": self.rho}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave, on the device of W."""
        for mine, saved in ((self.Z, state["Z"]), (self.U, state["U"])):
            for name, value in saved.items():
                mine[name] = value.to(self._weights[name].device)
        self.rho = state["rho"]
