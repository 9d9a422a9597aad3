"""An output as a short sequence: its classes of largest probability, in order.

Notation: n images, k classes, t tokens.
"""

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.evidence import Floats
from trainables.attacks.features import log_probabilities

MOST_TOKENS = 10
"""Classes kept per image, the label among them: attention is quadratic in their number."""

FIELDS = 3
"""Numbers in a token: probability, its logarithm, whether it is the label's."""


def ranked_tokens(tempered: Floats, labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """(n, k) logits at the typical temperature -> (n, t, FIELDS), largest probability first.

    A label outside the t largest takes the place of the smallest of them.
    """
    log_p = log_probabilities(tempered)
    order = np.argsort(-log_p, axis=1, kind="stable")[:, :MOST_TOKENS]
    missing = ~(order == labels[:, None]).any(axis=1)
    order[missing, -1] = labels[missing]
    own = np.take_along_axis(log_p, order, axis=1)
    fields = [np.exp(own), np.maximum(own, -40.0) / 10, order == labels[:, None]]
    return np.stack(fields, axis=2).astype(np.float32)
