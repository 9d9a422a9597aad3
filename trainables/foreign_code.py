"""Runs a user's network on random records and says in one line why it fails."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from trainables.base.errors import InvalidInput, one_line
from trainables.base.seeding import seeded_globals
from trainables.data.registry import DatasetSpec
from trainables.training import DivergedError


def random_images(spec: DatasetSpec, count: int) -> Tensor:
    """Standard normal images, (count, c, h, w) float32, channels last; or rows, (count, ...).

    Rows are standard normal too, or of evenly drawn tokens.
    """
    generator = torch.Generator().manual_seed(0)
    if spec.n_tokens is not None:
        return torch.randint(spec.n_tokens, (count, *spec.image_shape), generator=generator)
    images = torch.randn(count, *spec.image_shape, generator=generator)
    return images if spec.as_given else images.contiguous(memory_format=torch.channels_last)


def answers(network: nn.Module, images: Tensor, *, seed: int = 0) -> Tensor:
    """Logits (b, classes) in evaluation mode, with the global generators seeded from `seed`."""
    network.eval()
    with torch.no_grad(), seeded_globals(seed, "rehearsal"):
        logits: Tensor = network(images)
    return logits.clone()


@contextlib.contextmanager
def said(what: str, network: nn.Module | None = None) -> Iterator[None]:
    """Turn an error of the user's code into one line: what, in which layer, why, the remedy."""
    entered: list[nn.Module] = []

    def enter(module: nn.Module, _inputs: object) -> None:
        entered.append(module)

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        entered.pop()

    hooks = [
        torch_modules.register_module_forward_pre_hook(enter),
        torch_modules.register_module_forward_hook(leave),
    ]
    try:
        yield
    except InvalidInput:
        raise
    except (Exception, SystemExit) as error:
        names = {} if network is None else {id(m): key for key, m in network.named_modules()}
        inner = next((names[id(m)] for m in reversed(entered) if names.get(id(m))), "")
        where = f" in {inner!r}" if inner else ""
        cause = one_line(f"{type(error).__name__}: {error}")[:400]
        raise InvalidInput(f"{what}{where} ({cause}): {_remedy(error, network)}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _remedy(error: BaseException, network: nn.Module | None) -> str:
    if not isinstance(error, DivergedError):
        return "mend the network's code there"
    halves = network is not None and any(p.dtype == torch.float16 for p in network.parameters())
    if halves:
        return "float16 cannot hold the optimiser's sums: give it float32 or bfloat16 parameters"
    return "lower the recipe's learning rate, or mend what makes its outputs so large"
