"""Takes out the channels and units that no input can change, or that nothing reads: equal outputs.

A pruned layer may keep no weight into a unit, which then says the same whatever it sees, or no
weight out of it.  The first is folded into the biases of the layer that reads it, where it adds the
same everywhere; zero padding makes it differ at the borders, and then the unit stays.
"""

import copy
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.ship.chains import Chain, Layer, chains

ALIKE = 1e-4
"""How far outputs may differ by the order of additions alone, of their largest."""


def without_dead_channels(network: nn.Module, example: Tensor) -> tuple[nn.Module, dict[str, int]]:
    """A smaller network with the same outputs in evaluation mode, and layer -> channels taken out.

    example: (2, ...) different inputs.  A network that cannot be traced or made smaller, or would
    answer otherwise, is returned as it is, a copy.
    """
    whole = copy.deepcopy(network).eval()
    try:
        return _smaller(whole, example)
    except Exception:  # noqa: BLE001 - a user's layers need not have the shapes assumed here
        return whole, {}


def _smaller(whole: nn.Module, example: Tensor) -> tuple[nn.Module, dict[str, int]]:
    smaller, taken = copy.deepcopy(whole), Counter[str]()
    found = chains(smaller)
    with torch.no_grad():
        while True:
            removed = {one.writer: _shrink(smaller, one, example) for one in reversed(found)}
            taken.update({writer: count for writer, count in removed.items() if count})
            if not any(removed.values()):
                break
        if not taken or not _alike(whole, smaller, example):
            return whole, {}
    return smaller, dict(taken)


def _shrink(network: nn.Module, chain: Chain, example: Tensor) -> int:
    """Take the dead channels of one layer out of all that hold them; returns how many."""
    writer, reader = network.get_submodule(chain.writer), network.get_submodule(chain.reader)
    assert isinstance(writer, Layer)
    assert isinstance(reader, Layer)
    channels = len(writer.weight)
    columns = reader.weight.reshape(len(reader.weight), channels, -1)  # (out, channels, k)
    dead = (columns == 0).all(dim=2).all(dim=0)
    if dead.all():
        dead[0] = False  # a layer keeps a channel
    constant = (writer.weight == 0).flatten(1).all(dim=1) & ~dead
    if constant.any():
        seen = _input_of(network, reader, example)
        for channel in torch.nonzero(constant).flatten().tolist():
            said = _contribution(reader, seen, channel, channels)
            if said is not None and int(dead.sum()) < channels - 1:
                dead[channel] = True
                _add_to_bias(reader, said)
    keep = torch.nonzero(~dead).flatten()
    if dead.any():
        _keep_rows(writer, keep)
        for name in chain.between:
            _keep_rows(network.get_submodule(name), keep)
        _keep_columns(reader, keep, channels)
    return channels - len(keep)


def _input_of(network: nn.Module, layer: nn.Module, example: Tensor) -> Tensor:
    """What the layer reads when the network answers."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        network(example)
    finally:
        hook.remove()
    return seen[-1]


def _contribution(reader: Layer, seen: Tensor, channel: int, channels: int) -> Tensor | None:
    """What a constant channel adds to each output, (out,); None if it differs over an image."""
    if isinstance(reader, nn.Linear):
        if seen.dim() != 2:
            return None
        width = seen.shape[1] // channels
        own = slice(channel * width, (channel + 1) * width)
        return reader.weight[:, own] @ seen[0, own]
    own = slice(channel, channel + 1)
    said = functional.conv2d(
        seen[:1, own],
        reader.weight[:, own],
        stride=reader.stride,
        padding=reader.padding,
        dilation=reader.dilation,
    )[0].flatten(1)
    first: Tensor = said[:, 0]
    return first if bool((said == first[:, None]).all()) else None


def _add_to_bias(layer: Layer, said: Tensor) -> None:
    if not said.any():
        return
    before = torch.zeros_like(said) if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(before + said)


def _keep_rows(layer: nn.Module, keep: Tensor) -> None:
    """Of a layer's outputs, a norm's or a depthwise convolution's channels."""
    for name, value in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(value[keep]))
    for name, buffer in list(layer.named_buffers(recurse=False)):
        setattr(layer, name, buffer[keep] if buffer.dim() else buffer)
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        layer.groups = layer.in_channels = len(keep)
    for name in ("out_features", "out_channels", "num_features"):
        if hasattr(layer, name):
            setattr(layer, name, len(keep))


def _keep_columns(layer: Layer, keep: Tensor, channels: int) -> None:
    """Of a layer's inputs, `channels` of them, each of one column or of an image's pixels."""
    rows = len(layer.weight)
    columns = layer.weight.reshape(rows, channels, -1)[:, keep]
    if isinstance(layer, nn.Linear):
        layer.weight = nn.Parameter(columns.reshape(rows, -1))
        layer.in_features = layer.weight.shape[1]
    else:
        layer.weight = nn.Parameter(layer.weight[:, keep])
        layer.in_channels = len(keep)


def _alike(whole: nn.Module, smaller: nn.Module, example: Tensor) -> bool:
    """Whether they answer alike, but for the order of additions."""
    wanted, found = whole(example), smaller(example)
    return bool((wanted - found).abs().max() <= ALIKE * wanted.abs().max().clamp(min=1e-6))
