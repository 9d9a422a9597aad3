"""A user's own data set: `register_dataset` of trainables/plugin.py, images or rows of any kind."""

import dataclasses
import functools
import math
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainables.base.errors import InvalidInput
from trainables.base.noun import RECORDS
from trainables.config import ADMMConfig, TrainingConfig
from trainables.data import items
from trainables.data.images import Data, Images, Rows
from trainables.data.pairs import Check, Pairs, Shape, collected
from trainables.data.registry import DATASETS, EVEN, DatasetSpec

MOST_CLASSES = 1_000_000
MOST_VALUES = 2**24
"""The most classes, and the most values in a record, and tokens; more is likelier a slip."""

LARGEST = 1e6
"""The largest mean or standard deviation that a data set may state for pixels in [0, 1]."""


def register_dataset(
    name: str,
    make: Callable[[Path], Pairs],
    *,
    n_classes: int,
    default_model: str,
    image_shape: Shape | None = None,
    input_shape: Shape | None = None,
    n_tokens: int | None = None,
    noun: str = RECORDS,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    training: TrainingConfig | None = None,
    admm: ADMMConfig | None = None,
    parts: Callable[[Path], Mapping[str, object]] | None = None,
) -> None:
    """Let `--dataset name` mean `make(folder of --data-dir)`.

    make: returns a `torch.utils.data.Dataset` of (item, label); all of it is held in memory.
    image_shape: (channels, height, width) of uint8 images without augmentation, for which mean and
    std are one value per channel, of pixels in [0, 1] [0.5, 0.25].  input_shape: instead, the
    shape of float32 tensors, or with n_tokens of int64 ids in [0, n_tokens), which reach the
    network as they are; noun: what they are called, a plural.  training, admm: the recipe [that of
    mnist5k].  parts: folder -> part of the split (members, non_members, validation, test, reserve)
    -> positions of its records; members are needed, parts that are not there are dealt from the
    rest [all are drawn by the seed].
    Raises InvalidInput when the name is taken or the description cannot be used.
    """
    require_free(name, DATASETS, "data set")
    _require_description(name, n_classes, default_model)
    for what, given, kind in (
        ("training", training, TrainingConfig),
        ("admm", admm, ADMMConfig),
    ):
        if given is not None and not isinstance(given, kind):
            raise InvalidInput(
                f"data set {name!r}: {what} must be a {kind.__name__} of trainables.config, not "
                f"{type(given).__name__}"
            )
    if (image_shape is None) == (input_shape is None):
        raise InvalidInput(
            f"data set {name!r}: give either image_shape, of uint8 images, or input_shape, of "
            "anything else"
        )
    common = _Common(name, make, n_classes, default_model, training, admm)
    if image_shape is not None:
        _refuse(name, "input_shape", n_tokens=n_tokens, noun=None if noun == RECORDS else noun)
        spec = _images(common, image_shape, mean, std)
    else:
        augment = (training is not None and training.augment) or None
        _refuse(name, "image_shape", mean=mean, std=std, augment=augment)
        spec = _rows(common, typing.cast("Shape", input_shape), n_tokens, noun)
    DATASETS[name] = dataclasses.replace(spec, positions=parts)


class _Common(typing.NamedTuple):
    """What a user says of a data set of any kind."""

    name: str
    make: Callable[[Path], Pairs]
    n_classes: int
    default_model: str
    training: TrainingConfig | None
    admm: ADMMConfig | None

    def spec(self, shape: Shape, load: Callable[[Path], Data], **kind: Any) -> DatasetSpec:
        """The registry's entry; kind: its fields that only images, or only rows, have."""
        return DatasetSpec(
            n_classes=self.n_classes,
            image_shape=shape,
            fractions=EVEN,
            default_model=self.default_model,
            load=load,
            training=self.training,
            admm=self.admm,
            **kind,
        )

    def collected(self, folder: Path, check: Check) -> tuple[Any, Any]:
        return collected(self.name, self.make, folder, self.n_classes, check)


def _images(
    common: _Common, shape: Shape, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> DatasetSpec:
    _require_shape(common.name, "image_shape", shape, "(channels, height, width)", rank=3)
    channels = shape[0]
    for what, values in (("mean", mean), ("std", std)):
        if values is not None and not _are_numbers(values, channels, positive=what == "std"):
            raise InvalidInput(
                f"data set {common.name!r}: {what} {values!r} must be a number for each of "
                f"{channels} channels{', above 0' if what == 'std' else ''}"
            )
    check = functools.partial(items.image, shape)
    return common.spec(
        shape,
        lambda folder: Images(*common.collected(folder, check)),
        mean=tuple(mean or (0.5,) * channels),
        std=tuple(std or (0.25,) * channels),
    )


def _rows(common: _Common, shape: Shape, n_tokens: int | None, noun: str) -> DatasetSpec:
    what = "a tuple of sizes, such as (600,)"
    _require_shape(common.name, "input_shape", shape, what)
    if n_tokens is not None and not _is_count(n_tokens, MOST_VALUES):
        raise InvalidInput(
            f"data set {common.name!r}: n_tokens {n_tokens!r} must be a whole number from 1 to "
            f"{MOST_VALUES:,}"
        )
    if not isinstance(noun, str) or not re.fullmatch("[a-z][a-z ]{1,28}s", noun):
        raise InvalidInput(
            f"data set {common.name!r}: noun {noun!r} must be a plural in small letters, such as "
            "rows"
        )
    check = functools.partial(items.numbers, shape)
    if n_tokens is not None:
        check = functools.partial(items.tokens, shape, n_tokens)
    return common.spec(
        shape,
        lambda folder: Rows(*common.collected(folder, check)),
        mean=(),
        std=(),
        as_given=True,
        n_tokens=n_tokens,
        noun=noun,
    )


def _refuse(name: str, only_with: str, **given: object) -> None:
    """Raise InvalidInput for the first setting of those that go with the other shape only."""
    for what, value in given.items():
        if value is not None:
            raise InvalidInput(
                f"data set {name!r}: {what} is for a data set with {only_with}: leave it out"
                + ("; values reach the network as they are" if only_with == "image_shape" else "")
            )


def _require_description(name: str, n_classes: object, default_model: object) -> None:
    if not _is_count(n_classes, MOST_CLASSES) or n_classes == 1:
        raise InvalidInput(
            f"data set {name!r}: n_classes {n_classes!r} must be a whole number from 2 to "
            f"{MOST_CLASSES:,}"
        )
    if not isinstance(default_model, str):
        raise InvalidInput(f"data set {name!r}: default_model {default_model!r} must be a name")


def _require_shape(name: str, what: str, shape: object, form: str, rank: int | None = None) -> None:
    if (
        not isinstance(shape, tuple)
        or not shape
        or len(shape) != (rank or len(shape))
        or not all(_is_count(size, MOST_VALUES) for size in shape)
        or math.prod(shape) > MOST_VALUES
    ):
        raise InvalidInput(
            f"data set {name!r}: {what} {shape!r} must be {form}, together at most {MOST_VALUES:,}"
        )


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _are_numbers(values: object, count: int, *, positive: bool) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) <= LARGEST for value in values)
        and (not positive or min(values) > 0)
    )


def require_free(name: str, registry: Mapping[str, object], what: str) -> None:
    """Raise InvalidInput for a name that cannot be one, or is taken."""
    if not re.fullmatch("[a-z0-9_]+", name):
        raise InvalidInput(f"{what} {name!r}: a name is small letters, digits and _")
    if name in registry:
        raise InvalidInput(f"{what} {name!r} exists already: choose another name")
