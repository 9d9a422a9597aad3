"""The settings of a run as config.json keeps them, and what a resumed run takes from there."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.machine_options import Options
from search.record.redaction import HIDDEN, redacted
from search.record.runfolder import RunFolder
from search.track.registry import target_of
from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.storage import RemotePath

if TYPE_CHECKING:
    from search.inputs import Inputs  # torch, for which a command that saves settings need not wait

NOT_RECORDED = ("config", "save_config", "resume", "more_models", "dashboard", "dry_run", "quiet")
"""Fields of `Options` that config.json leaves out: they ask for something once."""

_VIEWERS = {"study_storage": "mirror", "track": "tracker"}
"""Options whose address may hold a password -> what is there."""


def require_same_data(
    folder: RunFolder, stored: dict[str, Any], inputs: "Inputs", say: Callable[[str], None]
) -> None:
    """Raise InvalidInput where the data or the layers are not those that the run began with."""
    found = inputs.describe()
    if stored["split_hashes"] != found["split_hashes"]:
        raise InvalidInput(
            f"--resume {folder.path}: the data are not those of the run (their split hashes "
            "differ); give the same --data-dir"
        )
    if any(stored.get(key) != found[key] for key in ("layer_names", "layer_weights")):
        raise InvalidInput(
            f"--resume {folder.path}: the layers that are pruned are not those of the run (another "
            "release, or another network): resume it with the version that began it, or start a "
            "new run"
        )
    if "image_hashes" not in stored:
        say(
            f"This run is from an older version, which did not record what its {noun.many()} were: "
            "only that they are split alike could be checked"
        )
    elif stored["image_hashes"] != found["image_hashes"]:
        raise InvalidInput(
            f"--resume {folder.path}: the {noun.many()}, their labels or their order are not those "
            "of the run (their hashes differ): restore the data, give the same --data-dir, or "
            "start a new run"
        )


def recorded(options: Options) -> dict[str, object]:
    """The options for config.json, without the password in a storage's or a tracker's URL."""
    values = dataclasses.asdict(options)
    if options.study_storage is not None:
        values["study_storage"] = redacted(options.study_storage)
    if options.track is not None:
        values["track"] = target_of(options.track).shown
    return {
        name: str(value) if isinstance(value, Path | RemotePath) else value
        for name, value in values.items()
        if name not in NOT_RECORDED
    }


def as_before(options: Options, before: dict[str, object], say: Callable[[str], None]) -> Options:
    """The options of a resumed run, with its old plugin, data and viewers unless told otherwise."""
    data_dir = before.get("data_dir")
    for name in ("plugin", "dense", "members"):
        if isinstance(file := before.get(name), str):
            options = dataclasses.replace(options, **{name: Path(file)})  # type: ignore[arg-type]  # a field of this name
    if options.data_dir is None and isinstance(data_dir, str):
        options = dataclasses.replace(options, data_dir=Path(data_dir))
    for name, what in _VIEWERS.items():
        address = before.get(name)
        if getattr(options, name) is not None or not isinstance(address, str):
            continue
        if HIDDEN in address:
            say(
                f"The {what} {address} stays as it is: its password was not recorded, so give "
                f"--{name.replace('_', '-')} again to go on with it"
            )
        else:
            options = dataclasses.replace(options, **{name: address})  # type: ignore[arg-type]  # as above
    return options
