"""What is said first: whether the members look trained on, with the figures."""

import numpy as np
import pytest

from search.measured import described, doubts
from tests.test_audit import QUICK, images
from trainables.audit import audit


@pytest.mark.parametrize(
    ("margin", "says"),
    [(3.0, None), (0.0, "The members do not look trained on: "), (-3.0, "exchanged")],
)
def test_members_that_do_not_look_trained_on_are_said_first(margin, says) -> None:
    logits, labels, is_member = images(300, 300, abs(margin))
    found = audit(logits, labels, is_member if margin >= 0 else ~is_member, config=QUICK)
    if says is None:
        assert doubts(found) == []
        assert described(found).startswith("The outputs tell members from non-members")
        return
    [first] = doubts(found)
    assert says in first
    assert f"(accuracy {found.on_members.accuracy:.1%} on members and " in first
    assert f"mean loss {found.fit.loss:.3f} and {found.fit.loss_outside:.3f} nats" in first
    assert described(found).startswith(first)


def test_accuracy_alone_may_hide_what_the_loss_shows() -> None:
    """Right everywhere, surer on members: they look trained on."""
    generator = np.random.default_rng(0)
    labels, is_member = np.arange(400) % 4, np.arange(400) < 200
    logits = np.eye(4)[labels] * (8 + 4 * is_member + generator.normal(size=400))[:, None]
    found = audit(logits, labels, is_member, config=QUICK)
    assert found.on_members.accuracy == found.on_non_members.accuracy == 1
    assert doubts(found) == []
