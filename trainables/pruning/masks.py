"""Fixed sparsity while retraining: a pruned weight, its gradient and its momenta stay 0."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainables.pruning.projection import largest_mask


class Masks:
    """One boolean mask per prunable weight with exactly n_i True entries."""

    def __init__(self, weights: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor]) -> None:
        """weights: name -> parameter, written to by `apply`.  masks: same names and shapes."""
        if set(weights) != set(masks):
            raise ValueError(f"masks for {sorted(masks)} do not match weights {sorted(weights)}")
        self._weights = dict(weights)
        self.masks = {name: mask.bool() for name, mask in masks.items()}
        self._factors = [
            torch.ones_like(weight, requires_grad=False).mul_(self.masks[name])
            for name, weight in weights.items()
        ]
        """1 where a weight is kept and 0 elsewhere, laid out as the weights: one launch for all."""

    @classmethod
    def of_largest(cls, weights: Mapping[str, nn.Parameter], n: tuple[int, ...]) -> "Masks":
        """Masks that keep the n_i largest weights of each layer, in the order of `weights`."""
        pairs = zip(weights.items(), n, strict=True)
        return cls(weights, {name: largest_mask(weight, k) for (name, weight), k in pairs})

    @torch.no_grad()
    def apply(self) -> None:
        """Set every pruned weight to 0."""
        torch._foreach_mul_([*self._weights.values()], self._factors)

    @torch.no_grad()
    def apply_to_gradients(self) -> None:
        """Set the gradient of every pruned weight to 0."""
        pairs = [
            (weight.grad, factor)
            for weight, factor in zip(self._weights.values(), self._factors, strict=True)
            if weight.grad is not None
        ]
        if pairs:
            gradients, factors = zip(*pairs, strict=True)
            torch._foreach_mul_(gradients, factors)

    @torch.no_grad()
    def apply_to_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Set momenta and second moments of every pruned weight to 0: they would revive it."""
        for name, weight in self._weights.items():
            for value in optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.mul_(self.masks[name])

    def assert_exact(self, n: tuple[int, ...]) -> None:
        """Raise AssertionError unless each mask holds n_i entries and every other weight is 0."""
        for (name, weight), count in zip(self._weights.items(), n, strict=True):
            kept = int(self.masks[name].sum())
            revived = int(torch.count_nonzero(weight.detach() * ~self.masks[name]))
            if kept != count or revived:
                raise AssertionError(
                    f"layer {name}: mask keeps {kept}, n_i is {count}, {revived} pruned weights "
                    "are non-zero"
                )
