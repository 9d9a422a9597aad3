"""A synthetic network of any shape, MobileNetV2's 53 layers above all; nothing here was trained.

Notation: u_i = -ln(n_i / w_i), 0 for a layer left whole; s_i and m_i, each of sum 1, the shares of
layer i in the network's sensitivity, ~ w_i^-0.1, and in its memory of single images, ~ w_i^0.1: in
LeNet-5 small layers bear as little as large ones of 300 times their weights, and forget as much.
Neighbours interact: two thin layers in a row lose more than the sum of both.

    D = sum s_i u_i^p + c sum sqrt(s_i s_(i+1)) (u_i u_(i+1))^(p/2)       damage, p = 1.25
    M = sum m_i u_i   + c sum sqrt(m_i m_(i+1)) (u_i u_(i+1))^(1/2)       forgetting, c = 0.5
    lost = MOST (1 - exp(-(D / D(0.049))^4.8)) - GAINED (1 - exp(-M / M(0.45)))
    leak = DENSE exp(-(M / M(0.24))^2.3)

D(k) and M(k) are those of the same network when every layer keeps k, so that uniform pruning is
alike in all shapes: it follows what was measured on LeNet-5 with 16 models, leaks of 0.124 dense,
0.083 at 0.4, 0.033 at 0.2 and 0.006 at 0.12, accuracies of +0.8, -0.9 and -8.6 points.  At 0.2 and
0.08 overall, ERK was 0.071 and 0.028, and +0.5 and -0.8 points.  The attacks of a search trial see
0.62 leak^2 / DENSE of it, the less the smaller it is (0.076 of 0.122 on the dense network, 0.006 of
0.035 on uniform 0.2), and the cross-audit of four models sees nine tenths of that of eight.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from search.search_options import SearchConfig
from tests.benchmarks.blackbox import Blackbox, BlackboxNoise, Means
from tests.benchmarks.planned_vectors import LEVELS, anchors, published
from tests.benchmarks.table import PUBLISHED
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers

POWER, COUPLING = 1.25, 0.5
SENSITIVITY, MEMORY = -0.1, 0.1
MOST, GAINED, DENSE = 0.85, 0.012, 0.124
FAMILY_SEES, FOUR_SEE = 0.62, 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Formula:
    """Expected figures of a network of this shape; see the module's docstring."""

    layer_weights: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> Means:
        """x: (k, layers) ln of keep ratios."""
        damage = self._sum(-x, SENSITIVITY, POWER) / self._uniform(0.049, SENSITIVITY, POWER)
        memory = self._sum(-x, MEMORY, 1.0)
        regained = memory / self._uniform(0.45, MEMORY, 1.0)
        leak = DENSE * np.exp(-((memory / self._uniform(0.24, MEMORY, 1.0)) ** 2.3))
        return {
            "lost": MOST * (1 - np.exp(-(damage**4.8))) - GAINED * (1 - np.exp(-regained)),
            "family": FAMILY_SEES * leak**2 / DENSE,
            "leak_of_four": FOUR_SEE * leak,
            "leak": leak,
        }

    def _sum(self, u: np.ndarray, exponent: float, power: float) -> np.ndarray:
        """sum_i a_i u_i^p and the neighbours' interactions, with shares a_i ~ w_i^exponent."""
        share = np.array(self.layer_weights, dtype=float) ** exponent
        share /= share.sum()
        alone = u**power @ share
        together = (u[:, :-1] * u[:, 1:]) ** (power / 2) @ np.sqrt(share[:-1] * share[1:])
        total: np.ndarray = alone + COUPLING * together
        return total

    def _uniform(self, keep: float, exponent: float, power: float) -> float:
        """The same sum where every layer keeps this ratio."""
        u = np.full((1, len(self.layer_weights)), -np.log(keep))
        return float(self._sum(u, exponent, power)[0])


def synthetic(
    name: str, weights: Mapping[str, Tensor], config: SearchConfig, noise: BlackboxNoise
) -> Blackbox:
    """A synthetic network.

    weights: prunable layer -> its weights, whose shapes and sizes published allocations look at.
    config: bounds and numbers of models.  noise: of the table, since nothing here is measured.
    """
    sizes = tuple(weight.numel() for weight in weights.values())
    return Blackbox(
        name=name,
        config=config,
        layer_names=tuple(weights),
        layer_weights=sizes,
        expected=Formula(layer_weights=sizes),
        noise=noise,
        dense_leak=DENSE,
        dense_family=FAMILY_SEES * DENSE,
        anchors=[one.n for one in anchors(weights)],
        published={
            rule: [published(rule, weights, level).n for level in LEVELS] for rule in PUBLISHED
        },
    )


def mobilenetv2(config: SearchConfig, noise: BlackboxNoise) -> Blackbox:
    """The synthetic network of MobileNetV2's shape for ImageNet, as it is initialised."""
    network = build_model("mobilenetv2", n_classes=1000, image_shape=(3, 224, 224), seed=0)
    weights = {layer: weight.detach() for layer, weight in prunable_layers(network).items()}
    return synthetic("MobileNetV2's shape, synthetic", weights, config, noise)
