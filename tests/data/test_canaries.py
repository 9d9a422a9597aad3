"""Canaries: as many members as non-members, always a wrong label, nobody else touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.canaries import choose_canaries, mislabel
from trainables.data.split import five_way_split

LABELS = np.repeat(np.arange(4), 100)
EVEN = dict.fromkeys(("members", "non_members", "validation", "test", "reserve"), 0.2)
SPLIT = five_way_split(LABELS, EVEN, 0)


@given(st.floats(0, 0.5), st.integers(0, 100))
def test_members_and_non_members_are_mislabelled_alike(share, seed):
    canary = choose_canaries(SPLIT, share, seed)
    count = len(SPLIT.members)
    assert canary[:count].sum() == canary[count:].sum() == int(share * count + 1e-9)
    changed = mislabel(LABELS, SPLIT, canary, 4, seed)
    audited = np.concatenate([SPLIT.members, SPLIT.non_members])
    assert (changed[audited] != LABELS[audited]).tolist() == canary.tolist()
    others = np.setdiff1d(np.arange(len(LABELS)), audited)
    np.testing.assert_array_equal(changed[others], LABELS[others])
    assert set(np.unique(changed)) <= set(range(4))


def test_every_wrong_label_comes_up():
    canary = choose_canaries(SPLIT, 0.5, 0)
    changed = mislabel(LABELS, SPLIT, canary, 4, 0)
    audited = np.concatenate([SPLIT.members, SPLIT.non_members])[canary]
    assert set((changed[audited] - LABELS[audited]) % 4) == {1, 2, 3}


def test_no_share_changes_nothing_and_the_split_decides_all():
    canary = choose_canaries(SPLIT, 0.0, 0)
    assert not canary.any()
    np.testing.assert_array_equal(mislabel(LABELS, SPLIT, canary, 4, 0), LABELS)
    assert choose_canaries(SPLIT, 0.1, 3).tolist() == choose_canaries(SPLIT, 0.1, 3).tolist()
    assert choose_canaries(SPLIT, 0.1, 3).tolist() != choose_canaries(SPLIT, 0.1, 4).tolist()
    assert pytest.approx(0.1) == choose_canaries(SPLIT, 0.1, 3).mean()
