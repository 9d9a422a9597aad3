"""Which images leak most: each image's own excess gain, over the models of a cross-audit."""

import dataclasses

import numpy as np

from analysis.statistics.crossed_models import AUDITED, CrossedModels
from analysis.statistics.trials import LOG4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Exposed:
    """The images that one kind of models exposes most."""

    images: np.ndarray
    """(k,) positions in the data set, the most exposed first."""

    dense: np.ndarray
    """(k,) nats: 2 E[term] + log 4 of each image under the dense models; log 4 where every model
    gives it away."""

    winner: np.ndarray
    """(k,) nats: the same under the winner's."""


def most_exposed(
    chooses: CrossedModels, *, dense: CrossedModels, winner: CrossedModels, count: int
) -> Exposed:
    """The images are chosen by the first half of the pairs of models and measured by the rest.

    The values are therefore free of the choice: those that chose would look too high.  Raises
    ValueError where the kinds of models are not of the same halves and images.
    """
    if not (chooses.fits(dense) and chooses.fits(winner)):
        raise ValueError("all kinds of models must be of the same halves and images")
    split = 2 * (chooses.models // 4)  # whole pairs, each once inside and once outside
    chosen = np.argsort(-_of_each(chooses, slice(None, split)), kind="stable")[:count]
    rest = slice(split, None)
    chosen = chosen[np.argsort(-_of_each(chooses, rest)[chosen], kind="stable")]
    return Exposed(
        images=chooses.images[AUDITED][chosen],
        dense=_of_each(dense, rest)[chosen],
        winner=_of_each(winner, rest)[chosen],
    )


def _of_each(models: CrossedModels, which: slice) -> np.ndarray:
    """(images,) nats."""
    found: np.ndarray = 2 * models.terms.term[which].mean(axis=0) + LOG4
    return found
