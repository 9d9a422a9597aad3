"""The dense models of a comparison, trained and measured once, as part of each of its runs.

Every run gets its own copies, so that it stays whole where it is moved, resumed or read alone.
"""

import datetime
from typing import Any

from search.context import Context
from search.record.confirm_parquet import copy_parts
from search.record.runfolder import RunFolder
from search.record.trials_parquet import Ledger
from search.tune.copied import copy_stage
from search.tune.resume import has_snapshot
from trainables.records import COMPLETE, TrialRecord


def take_models(context: Context, stage: str) -> None:
    """Copy the stage that trained the models, unless the run has it, or is to train its own."""
    if context.dense_from is None:
        return
    source = RunFolder(context.dense_from).tune / stage
    if has_snapshot(source):
        copy_stage(source, context.folder.tune / stage)


def taken_row(context: Context, trial_id: str) -> dict[str, Any] | None:
    """The row of the model that ships, and its cross-audit, now in this run's own tables too.

    None where the run has to measure it.
    """
    if context.dense_from is None:
        return None
    source = RunFolder(context.dense_from)
    row = next((row for row in Ledger(source.path).rows() if row["trial_id"] == trial_id), None)
    if row is None or row["state"] != COMPLETE:
        return None
    copy_parts(source.confirm, context.folder.confirm, trial_id)
    # this run has it from now on: its wall clock must not hold the runs that went before
    now = datetime.datetime.now(datetime.UTC)
    context.ledger.write(TrialRecord(**{**row, "run_id": context.run_id, "started_at": now}))
    return row
