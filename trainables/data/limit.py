"""A part of a data set: fewer images, each class in its proportion, drawn by the run's seed.

Everything later sees these images only: the split, its hashes and the search for copies refer to
positions among them, not to positions in the whole data set.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.seeding import numpy_generator
from trainables.data.images import Data, ImageFiles, Images, Rows
from trainables.data.split import Indices


def stratified(labels: Indices, count: int, seed: int) -> Indices:
    """Sorted positions of `count` images, each class within one of its exact share.

    Shares are rounded down and what is missing goes to the largest remainders.
    labels: (n,).  count: 0 <= count <= n.
    """
    present, sizes = np.unique(labels, return_counts=True)
    taken, remainders = np.divmod(count * sizes.astype(np.int64), len(labels))
    missing = count - taken.sum()
    taken[np.argsort(-remainders, kind="stable")[:missing]] += 1
    generator = numpy_generator(seed, "limit")
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:room]
        for label, room in zip(present, taken, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def limited(
    name: str,
    images: Data,
    limit: int | None,
    fractions: Mapping[str, float],
    seed: int,
) -> Data:
    """`limit` images of the data set `name`, in their order; all of them without a limit.

    fractions: part of the split -> share of the images.
    Raises InvalidInput for a limit larger than the data set, or too small to split five ways.
    """
    if limit is None:
        return images
    require_within(name, limit, len(images.labels))
    positions = stratified(images.labels, limit, seed)
    _require_enough(images.labels, images.labels[positions], fractions)
    if isinstance(images, ImageFiles):
        return dataclasses.replace(
            images, files=images.files[positions], labels=images.labels[positions]
        )
    if isinstance(images, Rows):
        return Rows(images.values[positions], images.labels[positions])
    return Images(images.pixels[positions], images.labels[positions])


def require_within(name: str, limit: int, count: int) -> None:
    """Raise InvalidInput for a limit larger than the `count` images of the data set."""
    if limit > count:
        raise InvalidInput(
            f"--limit {limit} is more than the {count:,} {noun.many()} of {name}: give at most "
            f"{count}"
        )


def _require_enough(labels: Indices, used: Indices, fractions: Mapping[str, float]) -> None:
    """Raise InvalidInput where some part of the split would get no image of a class."""
    present, sizes = np.unique(labels, return_counts=True)
    left = np.array([(used == label).sum() for label in present])
    needed = int(np.ceil(1 / min(fractions.values()) - 1e-9))
    fewest = int(left.argmin())
    least = -(-needed * len(labels) // int(sizes.min()))  # rounded up
    if left[fewest] < needed:
        remedy = f"give at least {least}" if least <= len(labels) else "use a larger data set"
        raise InvalidInput(
            f"--limit {len(used)} leaves class {present[fewest]} with {left[fewest]} "
            f"{noun.many()}, too few to split five ways: {remedy}"
        )
