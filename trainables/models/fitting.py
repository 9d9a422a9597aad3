"""Makes any nn.Module take our records and give our logits: layout, precision and outputs.

Networks train with channels last, float32 images or rows, or int64 tokens, and float32 logits.
What a user's network does not support is found once, on two records, and adapted by hooks on the
network itself, so that training, attacks and Opacus all see the same function.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.models.registry import Build, Shape


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How a network is laid out and what its records are turned into."""

    channels_last: bool = True
    """Whether weights and images lie channels last; else in torch's default order."""

    as_float32: bool = False
    """Whether parameters of another precision are turned into float32."""

    images: torch.dtype = torch.float32
    """What the images or rows are turned into before the network sees them; int64 for tokens."""


@functools.cache
def fit_of(build: Build, n_classes: int, image_shape: Shape, n_tokens: int | None = None) -> Fit:
    """The first way in which the network trains and answers; torch's defaults where none works.

    n_tokens: it takes ids in [0, n_tokens).  Only images can be laid out channels last.

    A network that fails in every way fails again, with its cause, when it is rehearsed.
    """
    with torch.random.fork_rng(devices=[]):
        network = build(n_classes, image_shape)
        precisions = _precisions(network) if n_tokens is None else _precisions_of_tokens(network)
        layouts = (True, False) if n_tokens is None and len(image_shape) == 3 else (False,)
        images = _images(image_shape, n_tokens)
        for precision in precisions:
            for channels_last in layouts:
                fit = dataclasses.replace(precision, channels_last=channels_last)
                if _works(fit, functools.partial(build, n_classes, image_shape), images):
                    return fit
    return dataclasses.replace(precisions[0], channels_last=False)


def fitted(network: nn.Module, fit: Fit) -> nn.Module:
    """The same network with hooks that turn images and outputs; its layout is the caller's."""
    if fit.as_float32:
        network.float()
    network.register_forward_pre_hook(functools.partial(_prepared, fit))
    network.register_forward_hook(_logits)
    return network


def logits_of(output: object) -> Tensor:
    """The logits in what a network returned: the tensor, the first of several, or its `logits`.

    Raises TypeError where there is none.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and output:
        return logits_of(output["logits"] if "logits" in output else next(iter(output.values())))
    if isinstance(output, tuple | list) and output:
        return logits_of(output[0])
    named = getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    raise TypeError(f"it returns {type(output).__name__}, not logits")


def _logits(_network: nn.Module, _images: tuple[Tensor, ...], output: object) -> Tensor:
    return logits_of(output).float()


def _prepared(fit: Fit, _network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    images, *others = inputs
    order = torch.preserve_format if fit.channels_last else torch.contiguous_format
    # always a clone: it may be written into, and of one channel either order passes for the other
    return (images.to(fit.images).clone(memory_format=order), *others)


def _precisions(network: nn.Module) -> list[Fit]:
    found = {p.dtype for p in network.parameters() if p.is_floating_point()} - {torch.float32}
    if not found:
        return [Fit()]
    first = next(p.dtype for p in network.parameters() if p.is_floating_point())
    return [Fit(as_float32=True), Fit(), Fit(images=first)]


def _precisions_of_tokens(network: nn.Module) -> list[Fit]:
    found = {p.dtype for p in network.parameters() if p.is_floating_point()} - {torch.float32}
    asis = Fit(images=torch.int64)
    return [dataclasses.replace(asis, as_float32=True), asis] if found else [asis]


def _images(image_shape: Shape, n_tokens: int | None) -> Tensor:
    """Two random images, rows or sequences of tokens."""
    if n_tokens is not None:
        return torch.randint(n_tokens, (2, *image_shape))
    values = torch.rand(2, *image_shape)
    return values.contiguous(memory_format=torch.channels_last) if len(image_shape) == 3 else values


def _works(fit: Fit, build: Callable[[], nn.Module], images: Tensor) -> bool:
    try:
        network = fitted(build(), fit)
        if fit.channels_last:
            network.to(memory_format=torch.channels_last)
        network.train()
        logits = network(images)
        loss: Any = functional.cross_entropy(logits, torch.zeros(2, dtype=torch.int64))
        loss.backward()
        network.eval()
        with torch.no_grad():
            network(images)
    except Exception:  # noqa: BLE001 - a network's own code may raise anything: it does not support this
        return False
    return True
