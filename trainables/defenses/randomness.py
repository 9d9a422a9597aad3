"""A network's own randomness held still, so that two of its answers can be compared."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NOISE = frozenset(
    f"aten::{name}"
    for name in (
        *("bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_"),
        *("normal", "normal_", "rand", "rand_like", "randn", "randn_like", "uniform_"),
    )
)
"""Operations whose result is random numbers and nothing else."""

MIDDLE = 0.5
"""Stands in for each of them."""


@contextlib.contextmanager
def same_draws(seed: int) -> Iterator[None]:
    """What torch (CPU), NumPy and Python draw globally follows from `seed`; their states return."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - networks draw from it
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.setstate(random.Random(seed).getstate())
        np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


class _Still(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Random numbers are MIDDLE, whatever the size of the batch that they are drawn for."""

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        if func is torch.ops.aten.native_dropout.default:
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        torch.default_generator.manual_seed(0)  # a permutation depends on its length alone
        result = func(*args, **(kwargs or {}))
        noise = func._schema.name in NOISE  # noqa: SLF001 - the operator's name
        return result.fill_(MIDDLE) if noise and isinstance(result, Tensor) else result


@contextlib.contextmanager
def no_draws() -> Iterator[None]:
    """Dropout and the like do the same to every element, so batches of two sizes compare."""
    with same_draws(0), _Still():  # type: ignore[no-untyped-call]
        yield
