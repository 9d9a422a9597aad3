"""What a finished job left in its last checkpoint, and the end of all that nobody needs."""

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from search.tune.copied import CHECKPOINT
from search.tune.required import StageFailed, trial_name
from trainables.attacks.digest import read_digest
from trainables.attacks.evidence import Digest
from trainables.base.storage import Place, children, remove_tree
from trainables.job import job_of
from trainables.trial import CORRECT_FILE, DIGEST_FILE, LOGITS_FILE, STATE_FILE


class StatesDropped(tune.Callback):
    """Removes the states of a trial that has ended and whose model nobody needs, on a disk.

    It comes after the recorder: a resumed run answers with the trial's row and reads no state.  The
    folders of the checkpoints stay until the stage ends, since Tune looks whether they are there.
    """

    def __init__(self, folder: Place) -> None:
        """folder: of the stage."""
        self._folder = folder

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It finished its budget or was stopped."""
        if isinstance(self._folder, Path) and not job_of(trial.config).is_kept:
            for state in (self._folder / trial_name(trial)).glob(f"{CHECKPOINT}/{STATE_FILE}"):
                state.unlink()


def drop_states(folder: Place, results: Mapping[str, tune.Result]) -> None:
    """Remove all checkpoints of trials that ended without an error, but the last of those kept.

    folder: of a stage whose last snapshot is written.  results: by trial id.
    """
    for trial_id, result in results.items():
        if result.error is not None:
            continue  # a resume may try it again
        last = result.checkpoint if job_of(result.config or {}).is_kept else None
        _drop(folder / trial_id, None if last is None else Path(last.path).name)


def _drop(folder: Place, kept: str | None) -> None:
    """Remove a trial's checkpoints but the one of this name."""
    for child in children(folder):
        if fnmatch.fnmatch(child.name, CHECKPOINT) and child.name != kept:
            remove_tree(child)


def kept_checkpoint(result: tune.Result) -> tune.Checkpoint:
    """The last checkpoint of a job that keeps its model. Raises StageFailed when there is none."""
    if result.checkpoint is None:
        raise StageFailed(f"the trial in {result.path} left no checkpoint")
    checkpoint: tune.Checkpoint = result.checkpoint
    return checkpoint


def kept_correct(result: tune.Result) -> dict[str, np.ndarray]:
    """Part -> (images,) bool: which images a finished job's model classifies correctly."""
    with (
        kept_checkpoint(result).as_directory() as folder,
        np.load(Path(folder) / CORRECT_FILE, allow_pickle=False) as arrays,
    ):
        return dict(arrays)


def kept_digest(result: tune.Result) -> Digest:
    """What attacks on other models use of a finished job's model.

    Raises StageFailed where the job ran in a release that left none.
    """
    with kept_checkpoint(result).as_directory() as folder:
        path = Path(folder) / DIGEST_FILE
        if not path.exists():
            raise StageFailed(
                f"the model in {result.path} was made by an older release: begin the run anew"
            )
        return read_digest(path)


def kept_logits(result: tune.Result, name: str = LOGITS_FILE) -> np.ndarray:
    """(images, classes) logits that a finished job left in its checkpoint."""
    with kept_checkpoint(result).as_directory() as folder:
        logits: np.ndarray = np.load(Path(folder) / name, allow_pickle=False)
    return logits
