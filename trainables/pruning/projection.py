"""Euclidean projection onto {W : card(W) <= n}, the Z-step of ADMM (eq. 2; Zhang et al. 2018)."""

import torch
from torch import Tensor


def largest_mask(weight: Tensor, n: int) -> Tensor:
    """True at the n entries of largest magnitude; ties go to the earlier position.

    weight: any shape.  n: 0 <= n <= weight.numel().  Counting positions, not cutting at a
    threshold, is what keeps ties and already-zero weights from changing the count.

    >>> largest_mask(torch.tensor([1.0, -2.0, 1.0]), 2)
    tensor([ True,  True, False])
    """
    if not 0 <= n <= weight.numel():
        raise ValueError(f"n must lie in [0, {weight.numel()}], got {n}")
    order = weight.detach().abs().flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:n]] = True
    return mask.view_as(weight)


def keep_largest(weight: Tensor, n: int) -> Tensor:
    """The closest tensor with at most n non-zeros: all but the n largest magnitudes set to 0.

    weight: any shape.  Returns a new tensor without gradient history.
    """
    return weight.detach() * largest_mask(weight, n)
