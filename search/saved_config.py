"""--save-config FILE, and what became of the settings of a run that --config named."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from search.command import command, command_of_all
from search.comparison import Comparison
from search.config_file import PATHS
from search.machine_options import Options
from search.option_fields import declared
from search.option_parser import build_parser
from search.search_options import SearchConfig
from search.stored_settings import recorded
from trainables.base.commandline import program, version
from trainables.base.errors import InvalidInput
from trainables.base.storage import read_json
from trainables.records import COMPARISON

MOST_SAID = 5
"""The most settings that `changed_settings` names."""

OF_ONE_RUN = ("out", "probe")
"""Options that config.json records and that the next run has its own of."""


def save_config(config: SearchConfig | Comparison, options: Options, file: Path) -> None:
    """Write what these settings ask for. Raises InvalidInput where the file cannot be made."""
    import yaml

    text = yaml.safe_dump(_asked(config, options), sort_keys=False, allow_unicode=True)
    try:
        with file.open("x", encoding="utf-8") as opened:
            try:
                opened.write(f"# {version()}: {program('search.run')} --config FILE\n{text}")
                opened.flush()
            except OSError:
                file.unlink()
                raise
    except OSError as error:
        raise InvalidInput(
            f"--save-config {file} cannot be made ({error.strerror}): choose another file"
        ) from error


def _asked(config: SearchConfig | Comparison, options: Options) -> dict[str, Any]:
    """Option -> value: those of the command that config.json records, and of the machine."""
    values = recorded(options)
    asked = (
        command_of_all(config, values)
        if isinstance(config, Comparison)
        else command(config, values)
    )
    words = shlex.split(asked)
    found = vars(build_parser().parse_args(words[3:]))
    found |= {name: values[name] for name in PATHS}  # absolute
    usual = {field.name: field.default for field in dataclasses.fields(Options)}
    for one in declared(Options):
        value = values.get(one.field)
        if not one.option.in_command and value != usual[one.field] and one.name not in OF_ONE_RUN:
            found[one.name] = f"{value}s" if one.field == "trial_timeout_s" else value
    return {
        name.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for name, value in found.items()
        if value is not None and value is not False
    }


def changed_settings(config: SearchConfig | Comparison | None, options: Options) -> str | None:
    """One line that names the settings which differ from those of the run in --config.

    Another release may have other recipes, and the command line wins.  None where --config is no
    run's, or nothing differs.
    """
    if config is None or options.config is None or not str(options.config).endswith(".json"):
        return None
    try:
        stored = read_json(options.config)
    except ValueError:  # YAML, whatever its name
        return None
    then, now = _flat(stored.get("search") or stored.get(COMPARISON) or {}), _flat(config.to_dict())
    if not then:
        return None
    changed = [
        f"{name} {now.get(name)} instead of {then.get(name)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name) and not name.endswith("more_models")
    ]
    if not changed:
        return None
    more = f" and {len(changed) - MOST_SAID} more" if len(changed) > MOST_SAID else ""
    return f"Not as in {options.config}: {', '.join(changed[:MOST_SAID])}{more}"


def _flat(values: Any, name: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Dotted name -> value, through dictionaries and lists."""
    if not isinstance(values, dict | list | tuple):
        return {name: values}
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    return {
        key: value
        for part, below in pairs
        for key, value in _flat(below, f"{name}.{part}" if name else str(part)).items()
    }
