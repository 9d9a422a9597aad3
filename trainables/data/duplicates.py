"""Copies of one image: counted, and kept from being member and non-member at once."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from trainables.base import noun
from trainables.data.split import PARTS, Indices, Split, five_way_split

POLICIES = ("keep", "drop", "together")
"""keep: copies are dealt independently.  drop: only the first copy of each image takes part.
together: all copies go to one part."""


def split_without_copies_apart(
    labels: Indices, copies: Indices, policy: str, fractions: Mapping[str, float], seed: int
) -> Split:
    """The five-way split under one of POLICIES; where no image has a copy, all give the same.

    labels: (n,).  copies: (n,) position of each image's first copy.
    """
    first = copies == np.arange(len(copies))
    if policy == "keep" or first.all():
        return five_way_split(labels, fractions, seed)
    if policy == "together":
        return five_way_split(labels, fractions, seed, copies)
    positions = np.flatnonzero(first)
    split = five_way_split(labels[positions], fractions, seed)
    return Split(**{part: positions[getattr(split, part)] for part in PARTS})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duplicates:
    """How often the same image occurs in a data set."""

    images: int
    """Different images that occur more than once."""

    occurrences: int
    """Occurrences of `images` in total."""

    labelled_differently: int
    """How many of `images` have copies with different labels."""

    most: int
    """Most copies of one image among the members; 1 where none has a copy there."""

    member_and_non_member: int
    """How many of `images` the split has among members and among non-members."""

    @classmethod
    def of(cls, labels: Indices, copies: Indices, split: Split) -> "Duplicates":
        """labels, copies: (n,), as for the split."""
        counts = np.bincount(copies)
        several = counts[copies] > 1
        contradicting = copies[several & (labels != labels[copies])]
        both = np.intersect1d(copies[split.members], copies[split.non_members])
        return cls(
            images=int((counts > 1).sum()),
            occurrences=int(several.sum()),
            most=int(np.bincount(copies[np.concatenate([split.members, split.common])]).max()),
            labelled_differently=len(np.unique(contradicting)),
            member_and_non_member=len(both),
        )

    def in_words(self, policy: str) -> str:
        """One sentence with all counts."""
        if not self.images:
            return f"no {noun.one()} occurs twice"
        labels = f", {self.labelled_differently:,} with different labels"
        return (
            f"{self.images:,} {noun.many()} occur more than once, {self.member_and_non_member:,} "
            f"of them as member and non-member{labels if self.labelled_differently else ''} "
            f"({self.occurrences:,} copies in all): {_CONSEQUENCES[policy].format(a=noun.a())}"
        )


_CONSEQUENCES = {  # {a}: one of the records, with its article
    "keep": "--duplicates keep leaves them there; {a} on both sides is neither "
    "member nor non-member, and an attack recognises the copies of one side: use drop or together",
    "drop": "only the first copy of each takes part (--duplicates drop)",
    "together": "all copies of one go to one part (--duplicates together)",
}
