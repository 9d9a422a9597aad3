"""Reads a network's weights from a user's file, safetensors or a state dict, and nothing else.

A pickle can run code, so torch's own formats are read with `weights_only=True`, which knows tensors
and plain containers. Wrappers leave their names in front of a layer's (`module.` of data parallel
training, `model.` of trainers, `_orig_mod.` of torch.compile): layers are matched without them.
"""

import contextlib
import pickle
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.base.errors import InvalidInput, one_line

WRAPPERS = ("module", "model")
"""Names in front of a network's own that wrappers of the whole network add."""

COMPILED = "_orig_mod"
"""What torch.compile puts before the names of a network, or of a part of it."""

HOLDERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the state dict beside optimisers and counters."""

COUNTER = "num_batches_tracked"
"""A batch norm's counter: files of before torch 0.4.1 lack it, and no output depends on it."""

MASKED = ("_orig", "_mask")
"""Endings of what torch.nn.utils.prune leaves of a weight: it is their product."""

SHOWN = 3
"""How many names a message shows."""

_DAMAGE = (  # whatever a broken or foreign file raises before there is a tensor
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    SafetensorError,
)


def read_checkpoint(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The weights in `path` under the network's own names, in its shapes and dtypes, on the CPU.

    A weight that the network ties is there under at least one of its names, as `load_weights`
    takes it; one that torch.nn.utils.prune masked is the masked one.
    Raises InvalidInput, one line, for a file that is neither safetensors nor a state dict, and for
    weights of another network, of other classes, or not finite.
    """
    own = network.state_dict()
    found = _renamed(path, _unmasked(_tensors(path, _contents(path))), own)
    counters = {name: value for name, value in own.items() if name.rpartition(".")[2] == COUNTER}
    found = {**counters, **found}
    _require_names(path, found, own)
    _require_shapes(path, found, own)
    return {name: _like(path, name, value, own[name]) for name, value in found.items()}


def _like(path: Path, name: str, value: Tensor, own: Tensor) -> Tensor:
    """A copy in the network's dtype."""
    if (
        value.is_floating_point() != own.is_floating_point()
        or value.is_complex() != own.is_complex()
    ):
        raise InvalidInput(
            f"{path}: {name} is {_dtype(value)}, where the network has {_dtype(own)}: give its "
            "weights before quantisation, or the quantised network as ONNX"
        )
    copied = value.detach().to(own.dtype, copy=True)
    if not torch.isfinite(copied).all():
        count = int((~torch.isfinite(copied)).sum())
        raise InvalidInput(
            f"{path}: {count:,} of {copied.numel():,} values of {name} are not finite: the "
            "training diverged; give an earlier checkpoint"
        )
    return copied


def _contents(path: Path) -> object:
    """Tensors by name, or whatever torch.load finds; the format is told by the first bytes."""
    with _reading(path):
        with path.open("rb") as file:
            start = file.read(9)
        if not start:
            raise InvalidInput(f"{path} is empty: give the weights of a network")
        if len(start) == 9 and start[8:] == b"{":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats and TorchScript, refused below
            return torch.load(path, map_location="cpu", weights_only=True)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
    except _DAMAGE as error:
        raise InvalidInput(
            f"{path} is neither safetensors nor a state dict of tensors alone; anything else could "
            "run code and is not loaded: write it with safetensors.torch.save_model(network, FILE) "
            "or torch.save(network.state_dict(), FILE)"
        ) from error


def _tensors(path: Path, contents: object) -> dict[str, Tensor]:
    """The state dict: the contents themselves, or the one that lies among them."""
    if not isinstance(contents, Mapping):
        raise InvalidInput(
            f"{path} holds {type(contents).__name__}, not a state dict: write it with "
            "torch.save(network.state_dict(), FILE)"
        )
    inner = [name for name in HOLDERS if _is_state_dict(contents.get(name))]
    if len(inner) > 1:
        raise InvalidInput(
            f"{path} holds several state dicts, {' and '.join(inner)}: write a file with the one "
            "that is meant"
        )
    state = contents[inner[0]] if inner else contents
    if not _is_state_dict(state):
        odd = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
        raise InvalidInput(
            f"{path} holds no state dict of tensors ({_list(odd) or 'it is empty'}): write it with "
            "torch.save(network.state_dict(), FILE)"
        )
    return dict(state)


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
        and all(isinstance(one, Tensor) and one.layout is torch.strided for one in value.values())
    )


def _unmasked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each pair of torch.nn.utils.prune as the weight that it computes."""
    original, mask = MASKED
    names = [name.removesuffix(original) for name in tensors if name.endswith(original)]
    pairs = [
        name
        for name in names
        if f"{name}{mask}" in tensors
        and name not in tensors
        and tensors[f"{name}{mask}"].shape == tensors[f"{name}{original}"].shape
    ]
    products = {name: tensors[f"{name}{original}"] * tensors[f"{name}{mask}"] for name in pairs}
    parts = {f"{name}{ending}" for name in pairs for ending in MASKED}
    return {name: value for name, value in tensors.items() if name not in parts} | products


def bare(name: str) -> str:
    """A layer's name without what wrappers put before it.

    >>> bare("module._orig_mod.conv1.weight")
    'conv1.weight'
    """
    parts = [part for part in name.split(".") if part != COMPILED]
    while len(parts) > 1 and parts[0] in WRAPPERS:
        parts.pop(0)
    return ".".join(parts)


def _renamed(
    path: Path, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under the network's names, those that it lacks under their own."""
    known: dict[str, str] = {}
    for name in own:
        known.setdefault(bare(name), name)
    found: dict[str, Tensor] = {}
    for given, value in tensors.items():
        name = given if given in own else known.get(bare(given), given)
        if name in found:
            raise InvalidInput(f"{path} holds {name} twice, once as {given}: leave one of them out")
        found[name] = value
    return found


def _require_names(path: Path, found: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise where a weight is missing or unexpected; a tied one may have any of its names."""
    given = {own[name].data_ptr() for name in found if name in own}
    missing = [
        name
        for name, value in own.items()
        if name not in found and value.numel() and value.data_ptr() not in given
    ]
    unexpected = [name for name in found if name not in own]
    if missing or unexpected:
        raise InvalidInput(
            f"{path} is not of this network: missing {_list(missing) or 'nothing'}; unexpected "
            f"{_list(unexpected) or 'nothing'}: name its network with --model, or register it with "
            "--plugin"
        )


def _require_shapes(path: Path, found: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [name for name, value in found.items() if value.shape != own[name].shape]
    if not wrong:
        return
    name = wrong[0]
    theirs, ours = tuple(found[name].shape), tuple(own[name].shape)
    last = [other for other in own if other.rpartition(".")[0] == _last_layer(own)]
    if set(wrong) <= set(last) and theirs and theirs[1:] == ours[1:]:
        raise InvalidInput(
            f"{path} tells {theirs[0]} classes apart, the data set has {ours[0]}: give the weights "
            "of a network that was trained on it"
        )
    raise InvalidInput(
        f"{path} is not of this network: {name} has the shape {theirs}, not {ours}"
        + (f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else "")
        + ": name its network with --model, or register it with --plugin"
    )


def _last_layer(own: Mapping[str, Tensor]) -> str:
    return next(reversed(list(own)), "").rpartition(".")[0]


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
