"""Keeps torch's compiler out of processes that compile nothing: a second of CPU in each of them.

Making an optimiser imports `torch._dynamo`, to tell it what it may not trace.  Until something asks
it for more than that, another module stands in its place.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

NAME = "_dynamo"
COMPILER = f"torch.{NAME}"


class _Uncompiled(ModuleType):
    """Answers what torch's optimisers ask; any other question loads the compiler."""

    def graph_break(self, msg: str = "") -> None:
        """Nothing is traced that could be broken."""

    def disable(self, fn: Callable[..., Any] | None = None, *_: object, **__: object) -> Any:  # noqa: ANN401 - as torch's
        """Nothing traces `fn`, or what is decorated with the result."""
        return (lambda decorated: decorated) if fn is None else fn

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the compiler has
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
            delattr(torch, NAME)
        return getattr(importlib.import_module(COMPILER), name)


def leave_compiler_out() -> None:
    """Until it is needed; without effect where it is loaded already."""
    if COMPILER not in sys.modules:
        stand_in = _Uncompiled(COMPILER)
        sys.modules[COMPILER] = stand_in
        setattr(torch, NAME, stand_in)
