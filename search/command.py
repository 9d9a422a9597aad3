"""The shell command that asks for the same run again, which config.json records."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from search.machine_options import all_options
from search.option_fields import Declared, exactly
from search.own_network import training_in_words
from search.search_options import SearchConfig
from trainables.base.commandline import program
from trainables.defenses.registry import Parameter


def command(config: SearchConfig, options: Mapping[str, Any]) -> str:
    """The shell command that asks for the same run again.

    options: the values that were given for the fields of `Options`.
    """
    values = {
        **options,
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(config)},
    }
    values |= {name: options.get(name) for name in ("plugin", "dense", "members")}  # not the hash
    words = [
        word
        for one in all_options()
        if one.option.in_command
        for word in _words(one, values.get(one.field), config)
    ]
    return program("search.run", *words)


def _words(one: Declared, value: Any, config: SearchConfig) -> list[str]:  # noqa: ANN401 - fields have values of any type
    """The words on the command line that ask for a field's value."""
    if one.field == "parameters" and one.flag == "--set":
        numbers = [f"{name}={_given(number)}" for name, number in value.items()]
        asked = [*numbers, *training_in_words(config)]
        return [word for text in asked for word in one.words(text)]
    if one.field == "time_budget_s":
        return one.words(None if value is None else f"{exactly(value)}s")
    if one.field == "levels":
        return one.words(",".join(map(exactly, value)) or None)
    unset = (one.field in ("shadows", "canaries") and not value) or (
        one.field == "max_accuracy_drop" and config.is_bare
    )
    return [] if unset else one.words(value)


def _given(parameter: Parameter) -> str:
    """A defence's number in the form that --set takes."""
    if parameter.searched:
        return f"{exactly(parameter.low)}:{exactly(parameter.high)}"
    return exactly(parameter.default)
