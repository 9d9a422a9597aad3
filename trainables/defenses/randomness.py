"""Freezes a network's own randomness, so that two of its answers can be compared."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.base.seeding import seeded_globals

NOISE = frozenset(
    f"aten::{name}"
    for name in (
        *("bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_"),
        *("normal", "normal_", "rand", "rand_like", "randn", "randn_like", "uniform_"),
    )
)
"""Operations that return random numbers and nothing else."""

MIDDLE = 0.5
"""Value that replaces every such random number."""


def same_draws(seed: int) -> contextlib.AbstractContextManager[None]:
    """Seed the global draws of torch (CPU), NumPy and Python; restore their states afterwards."""
    return seeded_globals(seed, "dp-rehearsal")


class _Still(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it without types
    """Random numbers are MIDDLE, whatever the size of the batch that they are drawn for."""

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the operator gives
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
    """Make dropout and the like treat every element alike, so that batch sizes can be compared."""
    with same_draws(0), _Still():  # type: ignore[no-untyped-call]  # as above
        yield
