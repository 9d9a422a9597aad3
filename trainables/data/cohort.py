"""What all trials of a run share: the images on the device and who is a member."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from trainables.base.seeding import numpy_generator
from trainables.config import TARGETS_PAIR
from trainables.data.batches import ImageBatches
from trainables.data.split import Indices, Split, filled, units_of

MOST_POPULATION = 2500
"""Images that RMIA compares with; its score is a mean over them."""


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Images of one data set on one device, with the index tensor (int64, 1-d) of each part."""

    images: ImageBatches
    members: Tensor
    """The target trains on these: its half of the audited images, then `common`."""
    non_members: Tensor
    validation: Tensor
    test: Tensor
    reserve: Tensor
    """What a defence may train on beside the members; in no other part."""
    population: Tensor
    """What RMIA compares the audited images with; in no other part, nor in `reserve`."""
    audited: Tensor
    """D then D': the images whose membership an attack guesses."""

    pretrained: Mapping[str, Tensor] | None = None
    """State dict that every network starts from instead of its seed; membership is of the training
    that follows, so it must have seen all parts alike."""

    common: Tensor | None = None
    """Members of every model alike, which nobody attacks; None where there are none."""

    copies: Indices | None = None
    """(audited,) equal where two audited images are copies, as in `Split.copies`."""

    @classmethod
    def of(
        cls,
        images: ImageBatches,
        split: Split,
        device: torch.device,
        pretrained: Mapping[str, Tensor] | None = None,
    ) -> "Cohort":
        """The parts of `split` as index tensors on `device`."""

        def on_device(indices: np.ndarray) -> Tensor:
            return torch.from_numpy(indices.copy()).to(device)

        attacked, non_members = on_device(split.members), on_device(split.non_members)
        common = on_device(split.common) if len(split.common) else None
        return cls(
            images=images,
            members=_with_common(attacked, common),
            non_members=non_members,
            validation=on_device(split.validation),
            test=on_device(split.test),
            reserve=on_device(for_defences(split.reserve)),
            population=on_device(for_population(split.reserve, split.copies)),
            audited=torch.cat([attacked, non_members]),
            pretrained=pretrained,
            common=common,
            copies=copies_of_audited(split),
        )

    @property
    def is_member(self) -> np.ndarray:
        """(audited,) bool: True on D."""
        attacked = len(self.members) - (0 if self.common is None else len(self.common))
        return np.arange(len(self.audited)) < attacked

    def trained_on(self, half: np.ndarray) -> "Cohort":
        """The cohort of a reference model whose members are `half`, (audited,) bool."""
        chosen = torch.from_numpy(half).to(self.audited.device)
        return dataclasses.replace(
            self,
            members=_with_common(self.audited[chosen], self.common),
            non_members=self.audited[~chosen],
        )


def _with_common(members: Tensor, common: Tensor | None) -> Tensor:
    return members if common is None else torch.cat([members, common])


def for_defences(reserve: np.ndarray) -> np.ndarray:
    """Every second image of the reserve: some defences train on it.

    An audit that compared a model with images it had trained on would understate the leak.
    """
    return reserve[::2]


def for_population(reserve: np.ndarray, copies: Indices | None = None) -> np.ndarray:
    """At most MOST_POPULATION of the other images of the reserve, evenly spread.

    copies: as in `Split`; copies of what a defence trains on are left out.
    """
    others = reserve[1::2]
    if copies is not None:
        others = others[~np.isin(copies[others], copies[for_defences(reserve)])]
    chosen = np.linspace(0, len(others) - 1, min(len(others), MOST_POPULATION)).astype(np.int64)
    return others[chosen]


def copies_of_audited(split: Split) -> Indices | None:
    """`Split.copies` of D, then D'."""
    if split.copies is None:
        return None
    audited = np.concatenate([split.members, split.non_members])
    copies: Indices = split.copies[audited]
    return copies


def halves_of_models(split: Split, count: int, seed: int) -> np.ndarray:
    """Who each model of a vector trains on: (count, |D| + |D'|) bool, D first.

    Half 0 is D, half 1 is D', the others are random complementary pairs, so that every image is
    inside half of the models.  Raises ValueError when `count` is odd.
    """
    members, audited = len(split.members), len(split.members) + len(split.non_members)
    first = np.arange(audited) < members
    copies = copies_of_audited(split)
    return np.concatenate(
        [[first, ~first], reference_halves(audited, count - TARGETS_PAIR, seed, copies)]
    )


def reference_halves(size: int, count: int, seed: int, copies: Indices | None = None) -> np.ndarray:
    """Who each reference model trains on: (count, size) bool, `size` = |D| + |D'|.

    References come in complementary pairs, so every image is IN exactly half of them
    (Carlini et al. 2022, section IV).  copies: (size,) of the audited images; those of one image
    are on one side, and where that fills no half exactly, the other is a little larger.
    Raises ValueError when `count` is odd.
    """
    if count % 2:
        raise ValueError(f"references come in pairs, got {count}")
    halves = np.zeros((count, size), dtype=bool)
    for pair in range(count // 2):
        order = numpy_generator(seed, f"reference-half-{pair}").permutation(size)
        chosen = order[: size // 2]
        if copies is not None:
            chosen = np.array(filled(units_of(order, copies), size // 2)[0])
        halves[2 * pair, chosen] = True
        halves[2 * pair + 1] = ~halves[2 * pair]
    return halves
