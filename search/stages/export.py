"""The winner's folder: weights, masks and a card that says what was measured and what was not."""

from pathlib import Path
from typing import Any

from ray import tune

from search.record.runfolder import RunFolder
from search.tune.kept import kept_checkpoint
from trainables.base.storage import write
from trainables.trial import MASKS_FILE, MODEL_FILE


def export_winner(
    folder: RunFolder, trial_ids: list[str], results: dict[str, tune.Result], card: str
) -> str:
    """Copy the model of the confirm trial with the median excess gain; returns its trial id.

    trial_ids: the winner's confirm trials.  The median seed is taken because the best of the
    seeds would be chosen by the noise that the confirmation is there to remove.
    """
    ranked = sorted(trial_ids, key=lambda name: _excess(results[name]))
    chosen = ranked[(len(ranked) - 1) // 2]
    with kept_checkpoint(results[chosen]).as_directory() as source:
        for name in (MODEL_FILE, MASKS_FILE):
            if (Path(source) / name).exists():  # a defence that prunes nothing has no masks
                write(folder.winner / name, (Path(source) / name).read_bytes())
    write_card(folder, card, chosen)
    return chosen


def write_card(folder: RunFolder, card: str, trial_id: str) -> None:
    """Put the card beside the winner's weights, instead of an earlier one."""
    write(folder.winner / "card.md", card.replace("{trial_id}", trial_id))


def _excess(result: tune.Result) -> float:
    metrics: dict[str, Any] = result.metrics or {}
    return float(metrics["excess_gain"])
