"""The dense model that a comparison has measured, in the tables of one of its runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.record.confirm_parquet import has_terms, write_correct, write_terms
from search.record.runfolder import RunFolder
from search.record.trials_parquet import Ledger
from search.stages.given_dense import taken_row
from tests.search.test_run import failed, record
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import gain_terms
from trainables.data.cohort import reference_halves

BASELINE = "baseline-0000"


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """One run of a comparison, whose dense models lie beside it."""
    folder = RunFolder(tmp_path / "all" / "defences" / "dp")
    return SimpleNamespace(
        folder=folder,
        ledger=Ledger(folder.path),
        run_id="all-dp",
        dense_from=tmp_path / "all" / "dense",
    )


def write_audit(confirm: Path) -> None:
    halves = reference_halves(20, 4, seed=0)
    probability = np.full(halves.shape, 0.5)
    audit = CrossAudit(probability, gain_terms(probability, halves), halves)
    positions = np.arange(20)
    write_correct(confirm, BASELINE, {"validation": halves}, {"validation": positions})
    write_terms(confirm, BASELINE, audit, positions, positions % 10)


def test_the_row_and_the_audit_are_this_runs_own_from_then_on(context: Any) -> None:
    Ledger(context.dense_from).write(record("baseline", 0, val_accuracy=0.9))
    write_audit(context.dense_from / "confirm")
    row = taken_row(context, BASELINE)
    assert row is not None
    assert row["val_accuracy"] == 0.9
    (own,) = context.ledger.rows()
    assert (own["run_id"], own["excess_gain"]) == ("all-dp", row["excess_gain"])
    assert own["started_at"] > row["started_at"]
    assert has_terms(context.folder.confirm, BASELINE, 4)


def test_what_is_not_there_or_failed_is_measured_here(context: Any) -> None:
    assert taken_row(context, BASELINE) is None
    Ledger(context.dense_from).write(failed(0, "no memory"))
    assert taken_row(context, "search-0000") is None
    assert context.ledger.rows() == []
    context.dense_from = None
    assert taken_row(context, BASELINE) is None
