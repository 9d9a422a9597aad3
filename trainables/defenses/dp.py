"""DP-SGD (Abadi et al. 2016) with Opacus: the optimiser, its noise and its privacy budget.

The noise comes from torch's generators, which are not cryptographic: fit to measure the defence,
unfit to release a model to adversaries who could guess a seed.
"""

import contextlib
import functools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from torch import Tensor, nn

from trainables.base.errors import InvalidInput
from trainables.defenses.per_image import PerImageModule, PerImageOptimizer
from trainables.defenses.registry import LEAST_EPSILON

ORDERS = [1.01, 1.02, 1.05, *(1 + step / 10 for step in range(1, 100)), *range(11, 64), 128, 256]
"""Orders of the Renyi divergence: Opacus's own, finer near 1, where a large epsilon is decided."""

FLOAT32_BYTES = 4

FEWEST = 16
"""Fewest images in an expected batch: in smaller ones noise drowns the signal.  At 16, one step in
e^16 draws no image at all."""

GRID = 2**24
"""torch.rand gives multiples of 1 / GRID."""

GRADIENT_BYTES = 2**30
"""Memory for per-image gradients at a time; clipping needs about as much again."""


def delta_for(members: int) -> float:
    """Delta = |D|^-1.1, a little below one over the number of members.

    >>> round(delta_for(1000), 6)
    0.000501
    """
    return float(members**-1.1)


def poisson(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Each image joins each step with probability batch_size / count, as the accounting assumes.

    The probability is rounded down to the grid of the generator's numbers, never up. An empty draw
    still counts as a step, of noise alone.
    """
    rate = math.floor(batch_size / count * GRID) / GRID
    for _ in range(-(-count // batch_size)):
        yield torch.rand(count, generator=generator).lt(rate).nonzero()[:, 0]


@functools.cache
def noise_multiplier(epsilon: float, *, members: int, batch_size: int, epochs: int) -> float:
    """Noise in units of the clipping norm for (epsilon, delta_for(members)) after all epochs.

    Raises InvalidInput below LEAST_EPSILON.
    """
    if not epsilon >= LEAST_EPSILON:
        raise InvalidInput(
            f"epsilon must be at least {LEAST_EPSILON}, got {epsilon:g}: no amount of noise "
            "certifies less"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is", category=UserWarning)
        return float(
            get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta_for(members),
                sample_rate=batch_size / members,
                steps=epochs * -(-members // batch_size),
                accountant="rdp",  # the tighter "prv" takes minutes at a large epsilon
                alphas=ORDERS,
            )
        )


@contextlib.contextmanager
def quiet_hooks() -> Iterator[None]:
    """Silence torch's warning that the first layer's input, the images, requires no gradient.

    The per-image gradients of the weights come from the hook's other argument.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Full backward hook is firing", category=UserWarning
        )
        yield


class PrivateTraining:
    """A network whose optimiser sees only clipped, noised sums of per-image gradients."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        noise: float,
        clip: float,
        members: int,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        """noise: in units of `clip`, the largest norm of one image's gradient.

        generator: draws the noise, on the network's device.

        Raises InvalidInput for a network whose per-image gradients Opacus cannot compute.
        """
        self.module = PerImageModule(network)
        self.optimizer = PerImageOptimizer(
            optimizer,
            self.module,
            noise_multiplier=noise,
            max_grad_norm=clip,
            expected_batch_size=batch_size,
            generator=generator,
        )
        weights = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
        self._at_once = max(1, GRADIENT_BYTES // (FLOAT32_BYTES * weights))
        self._members = members
        self._generator = generator
        self._accountant = RDPAccountant()
        self.optimizer.attach_step_hook(
            self._accountant.get_optimizer_hook_fn(sample_rate=batch_size / members)
        )

    def draw(self, count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """`poisson`, each batch in parts whose per-image gradients fit into GRADIENT_BYTES.

        The optimiser sums the clipped gradients of all parts and takes one noised step after the
        last, so a batch in parts gives what a whole one gives. An empty draw yields no batch; the
        optimiser itself takes its step, of noise alone.
        """
        for chosen in poisson(count, batch_size, generator):
            parts = torch.split(chosen, self._at_once) if len(chosen) else ()
            self.optimizer.expect(map(len, parts))
            yield from parts

    @property
    def steps(self) -> int:
        """Noised steps so far."""
        return sum(steps for _noise, _rate, steps in self._accountant.history)

    @property
    def epsilon(self) -> float:
        """Epsilon spent at delta_for(members), by Renyi accounting; 0 before the first step."""
        if not self._accountant.history:
            return 0.0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Optimal order is", category=UserWarning)
            return float(
                self._accountant.get_epsilon(delta=delta_for(self._members), alphas=ORDERS)
            )

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, noise generator and accounting; the network's weights are the caller's."""
        return {
            "optimizer": self.optimizer.original_optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "history": [list(entry) for entry in self._accountant.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.optimizer.original_optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())
        self._accountant.history = [tuple(entry) for entry in state["history"]]
