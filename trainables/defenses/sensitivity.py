"""Whether one image adds at most the clipping norm to a step of DP-SGD, tried out on the network.

The guarantee rests on it: the noise of a step is in units of the most that one image can add, and
whatever else an image moves (statistics, buffers, other images' gradients) leaves without noise.
"""

import contextlib
import copy
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.base import noun
from trainables.base.errors import InvalidInput, one_line
from trainables.base.seeding import torch_generator
from trainables.defenses.dp import PrivateTraining, quiet_hooks
from trainables.defenses.randomness import no_draws, same_draws

IMAGES = 3
"""How many of the given images are examined."""

DRAWS = 4
"""Seeds under which images are exchanged if the network itself draws random numbers."""

SLACK = 0.02
"""Relative rounding that is tolerated: in float32 MobileNetV2's gradients of one image, alone and
in a batch, differ by 0.2%, as a sum in another order can move an activation over its kink."""

LOUD = 1e4
"""Factor on the loss in checks that need clipping to act."""

ANOTHER = "choose another --defense"

CAUSES = {
    "BackwardHookFunction": (
        "a layer's output is changed in place, which gradients of each alone forbid",
        "write x = x + y for x += y, and no inplace=True",
    ),
    "called random operation": (
        "it has parameters of its own beside a random layer, such as dropout",
        "move the parameters into a module that only adds or multiplies them",
    ),
    "No activations detected": (
        "it is kept in evaluation mode, yet its parameters are to be trained",
        "freeze them (requires_grad_(False)), or leave the mode to train()",
    ),
}
"""What an error of torch or Opacus says -> what is wrong, and the remedy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Trial:
    """The network and the batch that all checks examine."""

    network: nn.Module
    """Unwatched; every check works on copies."""

    images: Tensor
    """(n, c, h, w); or rows, (n, ...)."""

    labels: Tensor
    """(n,)."""

    others: Tensor
    """(n, c, h, w): images in place of the first."""

    clip: float

    names: dict[int, str] = dataclasses.field(default_factory=dict)
    """id -> name of the modules of the copies that were made last."""

    def copy(self) -> nn.Module:
        """In training mode, with no trace of an earlier batch."""
        network = copy.deepcopy(self.network).train()
        self.names.update({id(module): name for name, module in network.named_modules()})
        return network

    def private(self) -> PrivateTraining:
        """A copy under DP-SGD with the clipping norm in question."""
        network = self.copy()
        return PrivateTraining(
            network,
            torch.optim.SGD(network.parameters(), lr=1e-3),
            noise=1.0,
            clip=self.clip,
            members=2 * len(self.images),
            batch_size=len(self.images),
            generator=torch_generator(0, "dp-rehearsal"),
        )


def require_bounded(network: nn.Module, images: Tensor, labels: Tensor, *, clip: float) -> None:
    """Raise InvalidInput unless a step of DP-SGD on `network` has a sensitivity of at most `clip`.

    network: as it is trained, not yet watched by Opacus; left alone.  images: (n, c, h, w), at
    least 2, of which IMAGES are used.  labels: (n,).  All on the CPU; clip > 0.
    """
    few = slice(0, IMAGES)
    generator = torch_generator(0, "dp-rehearsal-images")
    others = _others(images[few], generator)
    trial = _Trial(
        network=network, images=images[few], labels=labels[few], others=others, clip=clip
    )
    with quiet_hooks():
        for check in (
            _require_nothing_kept,
            _require_images_apart,
            _require_own_gradients,
            _require_clipped_sums,
        ):
            with _explained(trial):
                check(trial)


def _others(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random ones like `images`; tokens are drawn from the ids that these reach."""
    if images.is_floating_point():
        return torch.randn(images.shape, generator=generator).to(images.dtype)
    return torch.randint(int(images.max()) + 1, images.shape, generator=generator)


def _require_nothing_kept(trial: _Trial) -> None:
    """A forward pass changes neither a parameter nor a buffer nor any later answer."""
    answers = []
    for batch in (trial.images, trial.others):
        network = trial.copy()
        before = {name: value.clone() for name, value in _tensors(network).items()}
        with same_draws(0):
            functional.cross_entropy(_logits(network, batch), trial.labels).backward()  # type: ignore[no-untyped-call]  # torch annotates neither
        for name, value in _tensors(network).items():
            if not _equal(value.detach(), before[name]):
                raise InvalidInput(
                    f"--defense dp: {name!r} is changed by the {noun.many()} of a batch as they "
                    f"pass, and would leave the model without noise: take it out, or {ANOTHER}"
                )
        with same_draws(1):
            answers.append(_answers(network, trial.images))
    if not _equal(*answers):
        raise InvalidInput(
            "--defense dp: the network keeps something of a batch beside its parameters and "
            f"buffers, which then moves later answers without noise: take it out, or {ANOTHER}"
        )


def _require_images_apart(trial: _Trial) -> None:
    """An image's logits are the same whichever images, and however many, are beside it."""
    before: Tensor | None = None
    for seed in range(DRAWS):
        with same_draws(seed):
            together = _answers(trial.copy(), trial.images)
        if before is not None and _equal(together, before):
            break  # nothing is drawn
        before = together
        for kept in range(len(trial.images)):
            batch = trial.others.clone()
            batch[kept] = trial.images[kept]
            with same_draws(seed):
                if not _close(_answers(trial.copy(), batch)[kept], together[kept]):
                    raise _mixed(trial, batch, kept, seed)
    with no_draws():
        together = _answers(trial.copy(), trial.images)
        for part in (slice(0, -1), slice(1, None)):
            if not _close(_answers(trial.copy(), trial.images[part]), together[part]):
                raise InvalidInput(
                    f"--defense dp: the logits of one {noun.one()} depend on how many "
                    f"{noun.many()} are in the batch, so it moves the gradients of all: take that "
                    f"out, or {ANOTHER}"
                )


def _mixed(trial: _Trial, batch: Tensor, kept: int, seed: int) -> InvalidInput:
    """Names the innermost module that gave an unchanged image another output."""
    seen = [_rows(trial, images, kept, seed) for images in (trial.images, batch)]
    for name, (given, gave) in seen[0].items():
        given_now, gave_now = seen[1].get(name, (given, gave))
        if _close(given, given_now) and not _close(gave, gave_now):
            where = f"module {name!r} mixes" if name else "the network's forward mixes"
            break
    else:
        where = "the network mixes"
    return InvalidInput(
        f"--defense dp: {where} the {noun.many()} of a batch (a mean, a norm or attention over its "
        f"first dimension), so one {noun.one()} moves the gradients of all: keep them apart, or "
        f"{ANOTHER}"
    )


def _rows(trial: _Trial, images: Tensor, kept: int, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Module -> what its first call was given and gave for image `kept`, innermost first."""
    network, found = trial.copy(), dict[str, tuple[Tensor, Tensor]]()

    def look(name: str, module: nn.Module) -> None:
        def hook(_module: nn.Module, given: tuple[object, ...], gave: object) -> None:
            if name not in found and given:
                rows = [_row(value, kept, len(images)) for value in (given[0], gave)]
                if rows[0] is not None and rows[1] is not None:
                    found[name] = (rows[0], rows[1])

        module.register_forward_hook(hook)

    for name, module in network.named_modules():
        look(name, module)
    with same_draws(seed):
        _answers(network, images)
    return found


def _row(value: object, kept: int, images: int) -> Tensor | None:
    """The part of image `kept`, also where positions are folded into the batch."""
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) == 0 or len(value) % images:
        return None
    return value.detach().reshape(images, -1)[kept].clone()


def _require_own_gradients(trial: _Trial) -> None:
    """Opacus's gradient of an image equals autograd's of that image alone."""
    with no_draws():
        training = trial.private()
        functional.cross_entropy(_logits(training.module, trial.images), trial.labels).backward()  # type: ignore[no-untyped-call]  # torch annotates neither
        found = training.optimizer.rows()
        for index in range(len(trial.images)):
            exact = _gradient(trial, slice(index, index + 1))
            whole = _norm(exact.values())
            for name, value in exact.items():
                error = float((found[name][index] - value).norm())
                if not error <= SLACK * (float(value.norm()) + 0.1 * whole):
                    raise InvalidInput(
                        f"--defense dp: Opacus finds another gradient of {name!r} than one "
                        f"{noun.one()} has (off by {error:.2g} of {whole:.2g}): use each parameter "
                        "by calling its own layer with the batch first, with plain options, or "
                        f"{ANOTHER}"
                    )


def _gradient(trial: _Trial, part: slice) -> dict[str, Tensor]:
    network = trial.copy()
    weights = {name: w for name, w in network.named_parameters() if w.requires_grad}
    loss = functional.cross_entropy(_logits(network, trial.images[part]), trial.labels[part])
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if gradient is None else gradient
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def _require_clipped_sums(trial: _Trial) -> None:
    """Removing an image changes the clipped sum by at most clip; replacing it, by twice that.

    The accounting is of images that are added or removed; the loss of the one in question is once
    as it is and once far above the clipping norm.
    """
    last = len(trial.images) - 1
    for scale in (1.0, LOUD):
        losses = torch.ones(len(trial.images))
        losses[last] = scale
        exchanged = torch.cat([trial.images[:last], trial.others[last:]])
        with no_draws():
            whole = _clipped_sum(trial, trial.images, losses)
            less = _clipped_sum(trial, trial.images[:last], losses[:last])
            other = _clipped_sum(trial, exchanged, losses)
        for most, difference in ((trial.clip, whole - less), (2 * trial.clip, whole - other)):
            if not float(difference.norm()) <= most * (1 + SLACK):
                raise InvalidInput(
                    f"--defense dp: one {noun.one()} moves the clipped sum by "
                    f"{difference.norm():.3g}, allowed are {most:g}: keep the {noun.many()} of a "
                    f"batch apart, or {ANOTHER}"
                )


def _clipped_sum(trial: _Trial, images: Tensor, losses: Tensor) -> Tensor:
    training = trial.private()
    logits = _logits(training.module, images)
    each = functional.cross_entropy(logits, trial.labels[: len(images)], reduction="none")
    (each * losses.to(each)).mean().backward()  # type: ignore[no-untyped-call]  # torch annotates neither
    training.optimizer.clip_and_accumulate()
    return torch.cat([weight.summed_grad.flatten() for weight in training.optimizer.params])


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = network(images.clone())  # which a network may write into
    return logits


@torch.no_grad()
def _answers(network: nn.Module, images: Tensor) -> Tensor:
    return _logits(network, images)


def _tensors(network: nn.Module) -> Mapping[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _norm(parts: Iterable[Tensor]) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))


def _equal(one: Tensor, two: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), two.nan_to_num())


def _close(one: Tensor, two: Tensor) -> bool:
    """Whether the vectors agree within rounding."""
    one, two = one.double(), two.double()
    return bool((one - two).norm() <= 1e-4 * (1e-3 + one.norm()))


@contextlib.contextmanager
def _explained(trial: _Trial) -> Iterator[None]:
    """What torch, Opacus or the network itself raises becomes one line with a remedy."""
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        where = _culprit(error.__traceback__, trial.names)
        place = f"module {where!r}" if where else "the network"
        for sign, (cause, remedy) in CAUSES.items():
            if sign in str(error):
                raise InvalidInput(f"--defense dp: {place}: {cause}: {remedy}") from error
        raise InvalidInput(
            f"--defense dp: {place} fails under per-{noun.one()} gradients "
            f"({type(error).__name__}: {one_line(error)[:300]}): use layers that Opacus knows, "
            f"called with the batch first, or {ANOTHER}"
        ) from error


def _culprit(traceback: TracebackType | None, names: Mapping[int, str]) -> str:
    """The innermost module whose code was running."""
    found = ""
    while traceback is not None:
        for variable in ("self", "module", "layer"):
            found = names.get(id(traceback.tb_frame.f_locals.get(variable))) or found
        traceback = traceback.tb_next
    return found
