"""Unequal numbers of members and non-members, weighted so that both sides count alike.

Eq. 1 averages members and non-members apart, so an attack must be fitted as if they were equally
many: with four times as many members, "member" is the better guess before anything was seen, and an
attack that learned so would gain less than nothing.
"""

import numpy as np

from trainables.attacks.evidence import Bools, Floats


def effective_images(members: int, non_members: int) -> float:
    """How many images, half of them members, tell as much: 4 m k / (m + k).

    >>> effective_images(1000, 1000), effective_images(4000, 1000)
    (2000.0, 3200.0)
    """
    return 4 * members * non_members / (members + non_members)


def side_weights(is_member: Bools) -> Floats | None:
    """(n,) weights with the same sum over both sides, in all `effective_images`; None for halves.

    Their sum is what a penalty is weighed against: images of one side alone must not raise it.
    """
    members, images = int(is_member.sum()), len(is_member)
    if 2 * members == images:
        return None
    half = effective_images(members, images - members) / 2
    return np.where(is_member, half / members, half / (images - members))


def of_part(weights: Floats | None, positions: np.ndarray) -> Floats | None:
    """The weights of some images; None stays None."""
    return None if weights is None else weights[positions]
