"""Goes on with what a killed program left of a stage.

Four rooms cooperate in a resume:

- `search/stored_settings.py` reads the settings back from config.json and refuses other data;
- here, `restored` restores Tune's own snapshot where it is whole (`has_snapshot`), so that
  finished trials are not run again; a stage whose snapshot is torn begins anew;
- `search/tune/searcher.py` restores the study and adopts (`adopt`) the rows of trials.parquet that
  an older snapshot does not know;
- `trainables/trial.py` goes on from its last checkpoint (`load_checkpoint`), and answers with the
  row that is on disk (`known_row`) where a trial had ended before the snapshot was written.
"""

import dataclasses
import fnmatch
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

from ray import tune

from search.tune.repairs import with_settings
from trainables.base.storage import Place, children, unsealed

log = logging.getLogger(__name__)


def _pickled(content: bytes) -> object:
    try:
        return pickle.loads(content)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError("it is torn") from error


SNAPSHOT = "experiment_state-*.json"


SNAPSHOT_FILES: dict[str, Callable[[bytes], object]] = {
    SNAPSHOT: json.loads,
    "search_gen_state-*.json": _pickled,
    "basic-variant-state-*.json": _pickled,
    "searcher-state-*.pkl": unsealed,
}
"""Names of what Tune restores from -> a reader that raises ValueError where a file is torn."""


def has_snapshot(folder: Place) -> bool:
    """Whether Tune left something whole to restore.

    `tuner.pkl` alone comes before the first snapshot.  Tune writes its snapshots in place, so a
    kill or a full disk can tear one, and would then begin the stage anew without a word.
    """
    files = children(folder)
    if not any(fnmatch.fnmatch(file.name, SNAPSHOT) for file in files):
        return False
    try:
        for pattern, read in SNAPSHOT_FILES.items():
            for file in files:
                if fnmatch.fnmatch(file.name, pattern):
                    read(file.read_bytes())
    except ValueError:
        log.warning("%s holds a torn snapshot of Ray Tune: the stage begins again", folder)
        return False
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What this program gives to Tune, whether the stage begins or goes on."""

    param_space: dict[str, Any]
    tune_config: tune.TuneConfig
    run_config: tune.RunConfig


def restored(folder: Place, trainable: Any, settings: Settings, *, failed_too: bool) -> tune.Tuner:
    """Tune's trials as they were; all else of this program, which may run in another place.

    Tune keeps pickles of the first program's callbacks and searcher, which know its folder.
    failed_too: whether trials that failed for good are tried again.
    """
    tuner = tune.Tuner.restore(
        str(folder),
        trainable,
        resume_unfinished=True,
        resume_errored=failed_too,
        param_space=settings.param_space,
    )
    return with_settings(tuner, settings.tune_config, settings.run_config)
