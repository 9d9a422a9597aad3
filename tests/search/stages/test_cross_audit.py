"""What the cross-audit of a stage leaves, and when it leaves nothing and says so."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.record.confirm_parquet import has_terms
from search.stages import cross_audit as stage
from search.stages.cross_audit import keep_cross_audit
from trainables.attacks.digest import digest_of
from trainables.data.cohort import reference_halves
from trainables.data.split import Split

MODELS, PART = 4, 60
HALVES = reference_halves(2 * PART, MODELS, seed=0)
PARTS = ("members", "non_members", "validation", "test", "reserve")
SPLIT = Split(
    **{name: np.arange(PART * at, PART * (at + 1)) for at, name in enumerate(PARTS)}, copies=None
)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    said: list[str] = []
    return SimpleNamespace(
        folder=SimpleNamespace(confirm=tmp_path / "confirm"),
        config=SimpleNamespace(
            seed=0, attack=SimpleNamespace(folds=2), halves_each=list(range(MODELS))
        ),
        inputs=SimpleNamespace(split=SPLIT, images=SimpleNamespace(labels=np.arange(5 * PART) % 3)),
        halves=HALVES,
        say=said.append,
        said=said,
    )


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Any]]:
    """Model -> what its checkpoint holds; the results are their numbers."""
    generator = np.random.default_rng(0)
    right = {
        "validation": np.ones(PART, dtype=bool),
        "test": np.zeros(PART, dtype=bool),
        "audited": np.ones(2 * PART, dtype=bool),
    }
    found = {
        model: {"logits": generator.normal(size=(2 * PART, 3)), "right": right}
        for model in range(MODELS)
    }
    labels = np.arange(2 * PART) % 3
    monkeypatch.setattr(
        stage, "kept_digest", lambda model: digest_of(found[model]["logits"], labels)
    )
    monkeypatch.setattr(stage, "kept_correct", lambda model: found[model]["right"])
    return found


def audit(context: Any, models: int = MODELS) -> None:
    results: Any = list(range(models))
    keep_cross_audit(context, "confirm-0000", results)


def test_both_tables_are_written_and_not_twice(context: Any, kept: Any) -> None:
    audit(context)
    part = context.folder.confirm / "terms.parquet" / "confirm-0000.parquet"
    written = part.read_bytes()
    kept.clear()  # a resumed run need not read its checkpoints
    audit(context)
    assert part.read_bytes() == written
    assert (context.folder.confirm / "correct.parquet" / part.name).exists()
    assert context.said == []


def test_a_model_without_finite_answers_costs_the_audit_alone(context: Any, kept: Any) -> None:
    kept[1]["logits"][0, 0] = np.inf
    audit(context)
    (line,) = context.said
    assert line == "No cross-audit of confirm-0000: the logits of model 1 are not finite"
    assert not has_terms(context.folder.confirm, "confirm-0000", 4)


@pytest.mark.parametrize("finite", [True, False])
def test_models_that_a_resume_added_replace_the_terms_even_where_they_cannot_be_audited(
    context: Any, kept: Any, finite: bool
) -> None:
    audit(context)
    context.halves = reference_halves(2 * PART, 6, seed=0)
    context.config.halves_each = [0, 1, 2, 3, 4, 5]
    kept |= {MODELS: dict(kept[0]), MODELS + 1: dict(kept[1])}
    if not finite:
        kept[4]["logits"] = np.full((2 * PART, 3), np.nan)
    audit(context, 6)
    assert bool(context.said) != finite
    assert has_terms(context.folder.confirm, "confirm-0000", 6) == finite
    assert not has_terms(context.folder.confirm, "confirm-0000", MODELS)
