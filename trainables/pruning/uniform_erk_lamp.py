"""Published rules that spread a total number of non-zeros over layers: anchors and baselines.

Each takes name -> weight in layer order and the overall keep ratio, and returns {n_i} whose sum is
round(keep * total), each at least 1.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

LAST_SHARE = 0.2
"""Least keep ratio of the last layer under uniform+."""

Allocation = Callable[[Mapping[str, Tensor], float], tuple[int, ...]]


def _capped(scores: np.ndarray, sizes: np.ndarray, total: int) -> tuple[int, ...]:
    """Counts proportional to scores * sizes with 1 <= n_i <= sizes_i and the exact total.

    Layers that would exceed their size are kept whole and the rest is spread again, as the fix-up
    loop of Evci et al. 2020 does; largest remainders get the odd weights.
    """
    whole = np.zeros(len(sizes), dtype=bool)
    while True:
        share = np.where(whole, 0.0, scores * sizes)
        wanted = share / max(share.sum(), np.finfo(float).tiny) * (total - sizes[whole].sum())
        overfull = ~whole & (wanted >= sizes)
        if not overfull.any():
            break
        whole |= overfull
    exact = np.where(whole, sizes, np.clip(wanted, 1, sizes))
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    while counts.sum() != total:
        step = 1 if counts.sum() < total else -1
        for layer in order if step > 0 else order[::-1]:
            if 1 <= counts[layer] + step <= sizes[layer]:
                counts[layer] += step
                break
    return tuple(int(count) for count in counts)


def _sizes(weights: Mapping[str, Tensor]) -> np.ndarray:
    return np.array([weight.numel() for weight in weights.values()], dtype=np.int64)


def _total(sizes: np.ndarray, keep: float) -> int:
    return int(min(max(round(keep * int(sizes.sum())), len(sizes)), int(sizes.sum())))


def uniform(weights: Mapping[str, Tensor], keep: float) -> tuple[int, ...]:
    """The same keep ratio in every layer."""
    sizes = _sizes(weights)
    return _capped(np.ones(len(sizes)), sizes, _total(sizes, keep))


def erk(weights: Mapping[str, Tensor], keep: float) -> tuple[int, ...]:
    """Erdos-Renyi-Kernel: keep ratio ~ (n_in + n_out + k_h + k_w) / (n_in n_out k_h k_w).

    Source: Evci et al. 2020, section 3.
    """
    sizes = _sizes(weights)
    scores = np.array([sum(weight.shape) / weight.numel() for weight in weights.values()])
    return _capped(scores, sizes, _total(sizes, keep))


def uniform_plus(weights: Mapping[str, Tensor], keep: float) -> tuple[int, ...]:
    """Uniform, but the first convolution whole and at least 20% of the last layer.

    Source: Gale, Elsen and Hooker 2019. Where the total cannot bear that, plain uniform.
    """
    sizes = _sizes(weights)
    total = _total(sizes, keep)
    last = len(sizes) - 1
    fixed = {0: int(sizes[0])} if next(iter(weights.values())).ndim > 2 else {}
    counts = _uniform_beside(fixed, sizes, total)
    least = math.ceil(LAST_SHARE * int(sizes[last]))
    if counts is not None and counts[last] < least:
        counts = _uniform_beside({**fixed, last: least}, sizes, total)
    return uniform(weights, keep) if counts is None else counts


def _uniform_beside(fixed: dict[int, int], sizes: np.ndarray, total: int) -> tuple[int, ...] | None:
    """One keep ratio for the layers without a fixed count; None where the total leaves none."""
    rest = [layer for layer in range(len(sizes)) if layer not in fixed]
    left = total - sum(fixed.values())
    if not rest or not len(rest) <= left <= sizes[rest].sum():
        return None
    counts = dict(zip(rest, _capped(np.ones(len(rest)), sizes[rest], left), strict=True)) | fixed
    return tuple(counts[layer] for layer in range(len(sizes)))


def _by_score(scores: list[Tensor], keep: float) -> tuple[int, ...]:
    """Counts of the highest scores over all layers, at least one per layer."""
    sizes = np.array([score.numel() for score in scores], dtype=np.int64)
    lifted = [score.flatten().double().clone() for score in scores]
    for score in lifted:
        score[score.argmax()] = torch.inf  # one weight per layer, or the network is cut in two
    order = torch.cat(lifted).argsort(descending=True, stable=True)[: _total(sizes, keep)]
    layer = np.repeat(np.arange(len(sizes)), sizes)[order.cpu().numpy()]
    return tuple(int(count) for count in np.bincount(layer, minlength=len(sizes)))


def global_magnitude(weights: Mapping[str, Tensor], keep: float) -> tuple[int, ...]:
    """The largest magnitudes of the whole network."""
    return _by_score([weight.detach().abs() for weight in weights.values()], keep)


def lamp(weights: Mapping[str, Tensor], keep: float) -> tuple[int, ...]:
    """Layer-adaptive magnitude: w_u^2 / sum of w_v^2 over v ranked from u up (Lee et al. 2021)."""
    scores = []
    for weight in weights.values():
        squares, order = weight.detach().flatten().double().square().sort()
        tail = squares.flip(0).cumsum(0).flip(0)
        score = torch.empty_like(squares)
        score[order] = squares / tail.clamp_min(torch.finfo(torch.float64).tiny)
        scores.append(score)
    return _by_score(scores, keep)


ALLOCATIONS: dict[str, Allocation] = {
    "uniform": uniform,
    "uniform+": uniform_plus,
    "erk": erk,
    "lamp": lamp,
    "global-magnitude": global_magnitude,
}


def comparators(weights: Mapping[str, Tensor], total: int) -> dict[str, tuple[int, ...]]:
    """Every rule's {n_i} with exactly `total` non-zeros: what a searched vector is held against.

    Raises ValueError unless layers <= total <= weights.
    """
    sizes = _sizes(weights)
    if not len(sizes) <= total <= sizes.sum():
        raise ValueError(f"{total} non-zeros do not fit {len(sizes)} layers of {sizes.sum()}")
    keep = total / int(sizes.sum())
    return {name: rule(weights, keep) for name, rule in ALLOCATIONS.items()}
