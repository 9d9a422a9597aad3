"""Multiply-accumulates of one image, by weight: every product of a forward pass, each call of it.

What an operation costs is torch's own count (torch.utils.flop_counter); here it is only booked on
the weight that went into it, so that layers called several times, patches in the batch, tied
weights and weights used outside of their layer all count as what they do.  Reading a table of
embeddings costs no product.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from trainables.models.prunable import prunable_layers


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Macs:
    """What one image costs in evaluation mode."""

    layers: dict[str, int]
    """Prunable layer -> multiply-accumulates with its weight; 0 where it is not used."""

    elsewhere: int
    """With weights that are not pruned, and between activations, as in attention."""

    @property
    def total(self) -> int:
        """What torch's own counter gives for the dense network."""
        return sum(self.layers.values()) + self.elsewhere


def count_macs(model: nn.Module, image_shape: tuple[int, ...]) -> Macs:
    """Count them on a forward pass of one image of zeros; the network stays as it was."""
    layers = prunable_layers(model)
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    try:
        model.eval()
        with torch.no_grad(), _plain_operations(), _Booking(layers) as booking:
            model(torch.zeros(1, *image_shape, device=device))
    finally:
        for module, training in modes.items():
            module.training = training
    return Macs(layers=booking.layers, elsewhere=booking.elsewhere)


def layer_macs(model: nn.Module, image_shape: tuple[int, ...]) -> dict[str, int]:
    """Prunable layer -> multiply-accumulates of one image with its weight."""
    return count_macs(model, image_shape).layers


class _Booking(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates neither
    """Adds the cost of each operation to the weight among its inputs."""

    def __init__(self, layers: Mapping[str, nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.layers = dict.fromkeys(layers, 0)
        self.elsewhere = 0
        self._weights = dict(layers)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator of torch
        types: Any,  # noqa: ANN401 - torch's signature
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the operator gives
        result = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func.overloadpacket)
        if count is not None:
            macs = count(*args, **(kwargs or {}), out_val=result) // 2
            layer = next(filter(None, map(self._layer, args)), None)
            if layer is None:
                self.elsewhere += macs
            else:
                self.layers[layer] += macs
        return result

    def _layer(self, value: object) -> str | None:
        """The layer whose weight this is, or a view of it, or of a part of it."""
        if not isinstance(value, Tensor):
            return None
        place, offset = value.untyped_storage().data_ptr(), value.storage_offset()
        for name, weight in self._weights.items():
            begin = weight.storage_offset()
            if weight.untyped_storage().data_ptr() == place and (
                begin <= offset < begin + weight.numel()
            ):
                return name
        return None


def _bilinear(_left: Tensor, weight: Tensor, *_args: Any, out_val: Tensor, **_: Any) -> int:
    """x1 W x2 by `_trilinear`, which torch's counter leaves out: each weight once an output row."""
    return 2 * weight.numel() * (out_val.numel() // weight.shape[0])


_COUNTS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._trilinear: _bilinear,  # noqa: SLF001 - nn.Bilinear has no other operator
}


@contextlib.contextmanager
def _plain_operations() -> Iterator[None]:
    """No fused kernels of whole layers, which torch's counter does not know."""
    fused = torch.backends.mha.get_fastpath_enabled()
    libraries: list[Any] = [torch.backends.mkldnn, torch.backends.cudnn]
    enabled = [library.enabled for library in libraries]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for library in libraries:
            library.enabled = False
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for library, before in zip(libraries, enabled, strict=True):
            library.enabled = before
