"""Clipping image by image: a step is taken only if every gradient row belongs to one image.

Opacus clips rows of what each layer saw as its batch. Where a layer sees patches as its batch, one
image has many rows and adds many times the clipping norm to the sum, whose noise is for one.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from trainables.base import noun
from trainables.base.errors import InvalidInput, one_line

RESERVED = ("activations", "max_batch_len", "ft_compute_sample_grad")
"""Attributes that Opacus keeps in the layers it watches."""

COARSEST = 2**-20
"""Coarsest relative rounding with which sums of clipped gradients still keep their bound."""


class PerImageModule(GradSampleModule):  # type: ignore[misc]  # Opacus has no types
    """The network, watched by Opacus; `images` is the size of the batch that went in last."""

    def __init__(self, network: nn.Module) -> None:
        """Raises InvalidInput for what Opacus cannot watch."""
        _require_watchable(network)
        try:
            super().__init__(network)
        except Exception as error:
            raise InvalidInput(
                "--defense dp: Opacus cannot take per-{noun.one()} gradients of this network "
                f"({type(error).__name__}: {one_line(error)[:300]}): use layers that it knows, or "
                "choose another --defense"
            ) from error
        self.images = 0

    def forward(self, images: Tensor) -> Any:  # noqa: ANN401 - whatever the network gives
        """The network's output for (b, c, h, w) images."""
        self._forget()
        self.images = len(images)
        return super().forward(images)

    def rearrange_grad_samples(self, **arguments: object) -> tuple[list[Tensor], Tensor]:
        """A layer's inputs and the gradient of its output, laid out as Opacus's formulas expect.

        They read a convolution's input with the strides of (n, c, h, w); for channels-last images
        the gradient would be wrong.
        """
        given, gradient = super().rearrange_grad_samples(**arguments)
        return [part.contiguous() for part in given], gradient.contiguous()

    def _forget(self) -> None:
        """Drop what layers with unused outputs left: the next batch would be added to it."""
        for weight in self._module.parameters():
            weight._forward_counter = 0  # noqa: SLF001 - Opacus's own bookkeeping
            if hasattr(weight, "_current_grad_sample"):
                del weight._current_grad_sample  # noqa: SLF001 - what Opacus keeps there
        for layer in self.iterate_submodules(self._module):
            for name in ("activations", "max_batch_len"):
                layer.__dict__.pop(name, None)


class PerImageOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus has no types
    """Opacus's optimiser, which refuses gradients that are not per image and knows empty draws."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, module: PerImageModule, **settings: object
    ) -> None:
        """settings: passed on to DPOptimizer."""
        super().__init__(optimizer, **settings)
        self._network = module
        self._names = {weight: name for name, weight in module._module.named_parameters()}  # noqa: SLF001 - the network as its author named it
        self._coming: deque[int] = deque()

    def expect(self, parts: Iterable[int]) -> None:
        """Announce the next draw by the sizes of its batches; an empty draw has none.

        The noise of an empty draw is added once all earlier draws are done.
        """
        *skipped, last = tuple(parts) or (0,)
        self._coming.extend([*skipped, last])
        if last:
            for do_skip in (*(True for _ in skipped), False):
                self.signal_skip_step(do_skip=do_skip)
        self._pass_empty_draws()

    def step(self, closure: None = None) -> None:
        """Clip, and after the last part of a draw add the noise and move the weights.

        Raises InvalidInput, before anything moves, where a gradient is not per image, and
        RuntimeError for a batch other than the one drawn.
        """
        if self._coming and self._coming[0] != self._network.images:
            raise RuntimeError(
                f"{self._coming[0]} {noun.many()} were drawn for a step that was given "
                f"{self._network.images}: the accounting would not hold"
            )
        super().step(closure)
        if self._coming:
            self._coming.popleft()
        self._pass_empty_draws()

    def _pass_empty_draws(self) -> None:
        while self._coming and self._coming[0] == 0:
            self._coming.popleft()
            self._add_noise_alone()

    def _add_noise_alone(self) -> None:
        for weight in self.params:
            weight.grad_sample = None
            weight.summed_grad = torch.zeros_like(weight)
        self.add_noise()
        self.scale_grad()
        self.step_hook(self)
        self.original_optimizer.step()

    def rows(self) -> dict[str, Tensor]:
        """Parameter -> (images, ...), the gradient of each image alone.

        Raises InvalidInput where the gradients are not per image.
        """
        return {self._names[weight]: self._get_flat_grad_sample(weight) for weight in self.params}

    @property
    def accumulated_iterations(self) -> int:
        """Always one: gradients of several passes are refused, parts of a batch are summed."""
        return 1

    def _get_flat_grad_sample(self, p: Any) -> Tensor:  # noqa: ANN401 - a parameter, and what Opacus keeps in it
        """The one way in which Opacus reads per-image gradients: (images, *p.shape)."""
        if hasattr(p, "_current_grad_sample"):
            raise _refusal(self._names[p], "is called more often than its output is used")
        if p.grad_sample is None:  # not part of this step, such as a block that LayerDrop left out
            p.grad_sample = torch.zeros(
                (self._network.images, *p.shape), dtype=p.dtype, device=p.device
            )
        if isinstance(p.grad_sample, list):
            raise _refusal(self._names[p], f"has gradients of {len(p.grad_sample)} passes")
        if p.grad_sample.shape != (self._network.images, *p.shape):
            raise _refusal(self._names[p], self._mismatch(len(p.grad_sample)))
        rows: Tensor = p.grad_sample
        return rows

    def _mismatch(self, rows: int) -> str:
        images = self._network.images
        if rows > images and rows % images == 0:
            return (
                f"counts one {noun.one()} as {rows // images}, since positions are folded into its "
                "batch, and each would be clipped by itself"
            )
        return f"sees {rows} rows where the batch has {images} {noun.many()}"


def _refusal(parameter: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"--defense dp: the layer of {parameter!r} {what}: give it ({noun.many()}, ..., features) "
        f"with the {noun.many()} first, once per use, or choose another --defense"
    )


def _require_watchable(network: nn.Module) -> None:
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if not trained:
        raise InvalidInput(
            "--defense dp: every parameter of the network is frozen: set requires_grad of those "
            "that it shall train"
        )
    for name, weight in trained.items():
        if not weight.is_floating_point() or torch.finfo(weight.dtype).eps > COARSEST:
            raise InvalidInput(
                f"--defense dp: {name!r} is {weight.dtype}, too coarse for a bound on a sum of "
                "clipped gradients: use float32 parameters (network.float())"
            )
    for name, module in network.named_modules():
        own = [parameter for parameter, weight in module.named_parameters(recurse=False)]
        if any(weight.requires_grad for weight in module.parameters(recurse=False)):
            _require_plain(name or type(network).__name__, own, module)


def _require_plain(name: str, own: list[str], module: nn.Module) -> None:
    buffers = [buffer for buffer, _ in module.named_buffers()]
    if buffers:
        raise InvalidInput(
            f"--defense dp: module {name!r} holds the parameter {own[0]!r} and the buffer "
            f"{buffers[0]!r}, which Opacus cannot take apart: keep parameters in a module without "
            "buffers, or choose another --defense"
        )
    taken = [attribute for attribute in RESERVED if hasattr(module, attribute)]
    if taken:
        raise InvalidInput(
            f"--defense dp: module {name!r} has an attribute {taken[0]!r}, which Opacus keeps for "
            "itself: rename it"
        )
