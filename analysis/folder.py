"""Whether a folder is one of ours, by its config.json; imports nothing that a mistake waits for."""

from typing import Any

from trainables import progress
from trainables.base.commandline import program
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, place, read_json
from trainables.progress import RunProgress
from trainables.records import COMPARISON, DEFENCES

CONFIG_VERSION = 1
"""The newest version of config.json that this program reads."""


def config_of(path: Place | str) -> dict[str, Any]:
    """What config.json says in the folder of a run, or of a comparison of defences.

    Raises InvalidInput where it is none of this program's.
    """
    folder = place(path) if isinstance(path, str) else path
    file = folder / "config.json"
    try:
        config = read_json(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidInput(
            f"{folder} is not a run folder (it has no config.json); give the folder that "
            f"`{program('search.run')}` printed"
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {_cause(error)}") from error
    if not isinstance(config, dict) or type(config.get("version")) is not int:
        raise InvalidInput(f"{file} is not a run's config: it states no version")
    if config["version"] > CONFIG_VERSION:
        raise InvalidInput(
            f"{file} has version {config['version']}, but this program reads up to "
            f"{CONFIG_VERSION}: update the program"
        )
    return config


def is_comparison(path: Place | str) -> bool:
    """Whether a folder is that of a comparison of defences.

    Raises InvalidInput where it is none of this program's.
    """
    return COMPARISON in config_of(path)


def begun_runs(comparison: Place | str) -> tuple[list[Place], int]:
    """The folders of a comparison's runs that have begun, in its order, and how many it has in all.

    Raises InvalidInput where the folder holds no comparison.
    """
    folder = place(comparison) if isinstance(comparison, str) else comparison
    try:
        names = [str(run["defense"]) for run in config_of(folder)[COMPARISON]["runs"]]
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{folder} holds no comparison of defences") from error
    homes = [folder / DEFENCES / name for name in names]
    return [home for home in homes if (home / "config.json").exists()], len(names)


def progress_of(folder: Place) -> RunProgress | None:
    """How far a run is; None of a run that wrote no such file. Raises InvalidInput if damaged."""
    file = folder / progress.FILE
    try:
        return RunProgress.from_dict(read_json(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    return one_line(error)[:300] or type(error).__name__
