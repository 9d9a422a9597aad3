"""Optimizers without torch._dynamo, which only a compiled program needs.

Its import costs every new process 0.8 s. What is mended here are private parts of torch 2.14; where
another release has other ones, nothing but that time is lost, and a test fails.
"""

import inspect
import sys
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

OUTSIDE_GRAPHS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""What torch keeps out of compiled graphs, by torch._dynamo's own means."""


def spare_dynamo() -> None:
    """Let the optimizers of this process work without torch._dynamo, if nothing needs it yet."""
    if "torch._dynamo" in sys.modules:
        return
    for name in OUTSIDE_GRAPHS:
        plain: Any = inspect.unwrap(getattr(Optimizer, name))
        setattr(plain, "__dynamo_disable", plain)  # a name that torch looks up
    for kind in (SGD, Adam, AdamW):
        optimizer: Any = kind
        optimizer.step = torch.no_grad()(inspect.unwrap(kind.step))
