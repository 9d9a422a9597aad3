"""Trees are fitted and asked on one thread, and the threads are as before afterwards."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from trainables.attacks.calibration import boosted
from trainables.attacks.cross_audit import CrossEvidence, cross_audit, image_folds
from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.folds import stratified_folds
from trainables.attacks.one_thread import one_thread
from trainables.attacks.shadow import adaptive_scores


def threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "openmp"}


@pytest.fixture
def seen(monkeypatch) -> list[set[int]]:
    """OpenMP's threads at every fit and every answer of trees."""
    found: list[set[int]] = []
    for name in ("fit", "_raw_predict"):
        original = getattr(HistGradientBoostingClassifier, name)

        def spied(self, *args, original=original, **kwargs):
            found.append(threads())
            return original(self, *args, **kwargs)

        monkeypatch.setattr(HistGradientBoostingClassifier, name, spied)
    return found


def trained_on(models: int, images: int) -> np.ndarray:
    """Complementary pairs of halves."""
    generator = np.random.default_rng(1)
    sides = [generator.permutation(images) % 2 == 0 for _ in range(models // 2)]
    return np.stack([side ^ bool(other) for side in sides for other in (0, 1)])


LABELS = np.arange(240) % 4
LOGITS = np.random.default_rng(0).normal(size=(4, 240, 4))
HALVES = trained_on(4, 240)
EVIDENCE = Evidence(LOGITS[0], LABELS, HALVES[0], ReferenceEvidence(LOGITS[1:], HALVES[1:]))


@pytest.mark.parametrize(
    "attack",
    [
        lambda: boosted(EVIDENCE, stratified_folds(EVIDENCE, 3, np.random.default_rng(0)), 0),
        lambda: adaptive_scores(EVIDENCE),
        lambda: cross_audit(
            CrossEvidence(LOGITS, LABELS, HALVES),
            image_folds(LABELS, 3, np.random.default_rng(0), None),
        ),
    ],
    ids=["boosted", "adaptive", "cross-audit"],
)
def test_trees_have_one_thread_and_the_process_its_own_afterwards(attack, seen) -> None:
    with threadpool_limits(2, "openmp"):
        attack()
        assert threads() == {2}
    assert len(seen) > 1
    assert set().union(*seen) == {1}


def test_the_threads_are_as_before_where_the_function_fails() -> None:
    @one_thread
    def fails() -> None:
        assert threads() == {1}
        raise ValueError("as it does")

    with threadpool_limits(2, "openmp"):
        with pytest.raises(ValueError, match="as it does"):
            fails()
        assert threads() == {2}
    assert fails.__name__ == "fails"
