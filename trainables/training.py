"""The one training loop: data on the device, cosine learning rate, hooks around each step."""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.data.batches import ImageBatches
from trainables.models.prunable import prunable_layers

Hook = Callable[[], None]
Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (b, k), labels (b,)) -> mean loss, a scalar with gradient."""


OUT_OF_GPU_MEMORY = (
    "the GPU ran out of memory: give each trial more of it with --gpus-per-trial, 1 at most, or "
    "lower the batch size of its recipe with --set"
)
"""Why a trial failed whose training, or forward pass of a single record, does not fit."""


class DivergedError(RuntimeError):
    """The loss stopped being finite; the trial is recorded as FAILED."""


def make_optimizer(
    model: nn.Module, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW or Nesterov SGD; weight decay on the prunable weights only."""
    decayed = list(prunable_layers(model).values())
    known = {id(weight) for weight in decayed}
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in known], "weight_decay": 0.0},
    ]
    # the fused step refuses complex numbers, and ended a float16 network in NaN
    fused = all(weight.dtype in (torch.float32, torch.float64) for weight in model.parameters())
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def cosine(start: float, step: int, steps: int) -> float:
    """Learning rate at `step` of `steps`: it falls from `start` to almost zero.

    >>> cosine(0.1, 0, 10), round(cosine(0.1, 5, 10), 3)
    (0.1, 0.05)
    """
    return start * 0.5 * (1 + math.cos(math.pi * step / steps))


def cosine_pass(start: float, epoch: int, epochs: int, steps: int) -> Callable[[int], float]:
    """Step of pass `epoch` of `epochs` -> learning rate; one cosine spans all passes.

    steps: optimiser steps in each pass.
    """
    return lambda step: cosine(start, epoch * steps + step, epochs * steps)


def _precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Training steps run in bf16 on CUDA, for its tensor cores, and in float32 elsewhere.

    Every measurement uses the precision of the weights themselves, as a user of the model would.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _measuring(device: torch.device) -> Iterator[None]:
    """Full float32: neither autocast of the caller nor TF32, to which torch lets CUDA round.

    cuDNN's convolutions do so by default, matrix products once a user's file has asked for it.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        chosen = products.fp32_precision
        products.fp32_precision = "ieee"
        try:
            with cudnn.flags(
                enabled=cudnn.enabled,
                benchmark=cudnn.benchmark,
                deterministic=cudnn.deterministic,
                allow_tf32=False,
            ):
                yield
        finally:
            products.fp32_precision = chosen


Draw = Callable[[int, int, torch.Generator], Iterator[Tensor]]
"""(images, batch size, generator) -> positions of each step's images, on the CPU."""


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Images in each step of a pass; the last step has at least two, as batch norm requires.

    >>> batch_sizes(10, 4), batch_sizes(9, 4), batch_sizes(3, 2)
    ([4, 4, 2], [4, 3, 2], [3])
    """
    whole, rest = divmod(count, batch_size)
    sizes = [batch_size] * whole + [rest] * (rest > 0)
    if rest == 1 and whole and batch_size > 1:
        sizes[-2:] = [batch_size - 1, 2] if batch_size > 2 else [3]
    return sizes


def shuffled(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every image once, in random order."""
    order = torch.randperm(count, generator=generator)
    yield from torch.split(order, batch_sizes(count, batch_size))


class Epoch:
    """One pass over `indices`, about `batch_size` images per step."""

    def __init__(
        self,
        images: ImageBatches,
        indices: Tensor,
        *,
        batch_size: int,
        augment: bool,
        generator: torch.Generator,
        draw: Draw = shuffled,
        mixed_precision: bool = True,
    ) -> None:
        """indices: (m,) positions in `images`.  generator: draws the order and the crops (CPU)."""
        self._draw = draw
        self._mixed_precision = mixed_precision
        self._images = images
        self._indices = indices
        self._batch_size = batch_size
        self._augment = augment
        self._generator = generator

    @property
    def steps(self) -> int:
        """Optimiser steps in one pass."""
        return len(batch_sizes(len(self._indices), self._batch_size))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        indices = self._indices.cpu()
        drawn = self._draw(len(indices), self._batch_size, self._generator)
        parts = (indices[part] for part in drawn)
        return self._images.batches(parts, self._generator if self._augment else None)

    def train(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        learning_rate: Callable[[int], float],
        loss: Loss = functional.cross_entropy,
        before_step: Hook = lambda: None,
        after_step: Hook = lambda: None,
    ) -> tuple[float, float]:
        """Train once over the images; returns the mean cross-entropy in nats and the accuracy.

        learning_rate: step within this pass -> rate.  loss: what is minimised; the returned loss
        is the cross-entropy even where more is minimised.  before_step sees the gradients,
        after_step the new weights.  Raises DivergedError when the loss is not finite.
        """
        model.train()
        total = torch.zeros((), device=self._indices.device)
        entropy, correct = torch.zeros_like(total), torch.zeros_like(total)
        seen = 0
        for step, (batch, labels) in enumerate(self._batches()):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step)
            with _precision(batch.device) if self._mixed_precision else contextlib.nullcontext():
                logits = model(batch)
                batch_loss = loss(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            batch_loss.backward()  # type: ignore[no-untyped-call]
            before_step()
            optimizer.step()
            after_step()
            total += batch_loss.detach() * len(labels)
            if loss is not functional.cross_entropy:
                entropy += functional.cross_entropy(logits.detach().float(), labels) * len(labels)
            correct += (logits.detach().argmax(1) == labels).sum()
            seen += len(labels)
        seen = max(seen, 1)  # every draw of DP-SGD was empty: there was noise alone
        mean = float(total) / seen
        if not math.isfinite(mean):
            raise DivergedError(f"the training loss became {mean}")
        plain = loss is functional.cross_entropy
        return mean if plain else float(entropy) / seen, float(correct) / seen


@torch.no_grad()  # not inference_mode: some networks take gradients in their forward pass
def predict(model: nn.Module, images: ImageBatches, indices: Tensor) -> Tensor:
    """Logits (m, classes) float32 in evaluation mode, without augmentation."""
    model.eval()
    at_once = images.at_once
    while True:
        batches = images.batches(torch.split(indices, at_once))
        try:
            with _measuring(indices.device):
                return torch.cat([model(batch).float() for batch, _ in batches])
        except torch.cuda.OutOfMemoryError:
            if at_once == 1:
                raise
        at_once //= 2  # the answers are the same; what a training step holds is not to be halved
        torch.cuda.empty_cache()


def mean_loss_and_accuracy(
    model: nn.Module, images: ImageBatches, indices: Tensor
) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy, in evaluation mode."""
    logits, labels = predict(model, images, indices), images.labels[indices]
    right = (logits.argmax(1) == labels).float().mean()
    return float(functional.cross_entropy(logits, labels)), float(right)


def accuracy(model: nn.Module, images: ImageBatches, indices: Tensor) -> float:
    """Fraction of `indices` classified correctly."""
    correct = predict(model, images, indices).argmax(1) == images.labels[indices]
    return float(correct.double().mean())


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, images: ImageBatches, indices: Tensor) -> None:
    """Recompute the running statistics of the batch norms on `indices` with the current weights.

    A hard prune shifts every activation; stale statistics would cost accuracy that retraining
    then has to win back.  Norms that the network keeps in evaluation mode during training keep
    their statistics, and all other layers run in evaluation mode.
    """
    # swa_utils.update_bn would weigh unequal batches alike, train dropout and reset frozen norms
    model.train()
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training  # noqa: SLF001 - torch's only common base class
    ]
    model.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.training = True
    seen = 0
    parts = torch.split(indices, batch_sizes(len(indices), images.at_once))
    with _measuring(indices.device):
        for batch, _ in images.batches(parts):
            seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / seen  # a running mean over images, not over batches
            model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
