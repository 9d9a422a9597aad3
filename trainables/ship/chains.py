"""Which layer of a network is read by which other alone, channel by channel: found by tracing."""

import dataclasses
from collections import Counter

import torch
from torch import fx, nn
from torch.nn import functional

ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Dropout,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
)
"""Modules that keep channels apart and know nothing of each."""

FUNCTIONS = (
    torch.relu,
    torch.flatten,
    functional.relu,
    functional.relu6,
    functional.gelu,
    functional.silu,
    functional.max_pool2d,
    functional.avg_pool2d,
    functional.adaptive_avg_pool2d,
    functional.dropout,
)
"""The same as functions."""

METHODS = ("relu", "flatten")

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

Layer = nn.Conv2d | nn.Linear


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """A layer whose channels are read by one other layer alone."""

    writer: str
    between: tuple[str, ...]
    """Norms and depthwise convolutions, which hold something of each channel."""

    reader: str


def chains(network: nn.Module) -> list[Chain]:
    """All that can be followed from one layer to the next, in the network's order."""
    try:
        nodes = list(fx.symbolic_trace(network).graph.nodes)
    except Exception:  # noqa: BLE001 - a user's forward may do anything that tracing cannot follow
        return []
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    modules = {
        name: module
        for name in calls
        for module in [network.get_submodule(name)]
        if calls[name] == 1 or isinstance(module, ELEMENTWISE)
    }
    found = [
        _followed(node, modules)
        for node in nodes
        if node.op == "call_module" and _is_layer(modules.get(node.target))
    ]
    return [chain for chain in found if chain is not None]


def _followed(start: fx.Node, modules: dict[str, nn.Module]) -> Chain | None:
    node, between = start, list[str]()
    while len(node.users) == 1:
        (node,) = node.users
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if _is_layer(module):
            return Chain(writer=str(start.target), between=tuple(between), reader=str(node.target))
        if isinstance(module, NORMS) or _is_depthwise(module):
            between.append(str(node.target))
        elif not (
            isinstance(module, ELEMENTWISE)
            or (node.op == "call_function" and node.target in FUNCTIONS)
            or (node.op == "call_method" and node.target in METHODS)
        ):
            return None
    return None


def _is_layer(module: nn.Module | None) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return isinstance(module, nn.Linear)


def _is_depthwise(module: nn.Module | None) -> bool:
    return (
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels
    )
