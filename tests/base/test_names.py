import pytest

from trainables.base.errors import InvalidInput
from trainables.base.names import known


def test_a_near_name_is_offered_and_all_are_named():
    with pytest.raises(InvalidInput) as caught:
        known("grad", ["tpe", "grid"], "--sampler")
    assert str(caught.value) == (
        "--sampler 'grad' is unknown: did you mean grid? There are tpe, grid"
    )


def test_without_a_near_name_all_are_named_or_what_stands_for_them():
    with pytest.raises(InvalidInput, match="sampler 'xyz' is unknown; there are tpe, grid"):
        known("xyz", ["tpe", "grid"], "sampler")
    with pytest.raises(InvalidInput, match="; there are tpe and 100 more"):
        known("xyz", ["tpe", "grid"], "sampler", shown="tpe and 100 more")
