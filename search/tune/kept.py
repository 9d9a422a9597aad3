"""What a finished job left in its last checkpoint."""

from pathlib import Path

import numpy as np
from ray import tune

from search.tune.required import StageFailed
from trainables.attacks.digest import read_digest
from trainables.attacks.evidence import Digest
from trainables.trial import CORRECT_FILE, DIGEST_FILE, LOGITS_FILE


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
