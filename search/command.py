"""The shell command that asks for the same run again, which config.json records."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from search.comparison import Comparison
from search.machine_options import all_options
from search.option_fields import Declared, exactly
from search.own_network import training_in_words
from search.presets import paper, paper_presets, smoke
from search.recipes import recipe
from search.search_options import SearchConfig
from trainables.base.commandline import program
from trainables.config import TrainingConfig
from trainables.defenses.registry import Parameter, named


def command(config: SearchConfig, options: Mapping[str, Any]) -> str:
    """The shell command that asks for the same run again.

    options: the values that were given for the fields of `Options`.
    """
    return _command(config, options, {})


def command_of_all(comparison: Comparison, options: Mapping[str, Any]) -> str:
    """The shell command that asks for the same comparison again; `options` as for `command`."""
    bounded = [run for run in comparison.runs if run.levels] or list(comparison.runs)
    sizes = [run.min_compression for run in comparison.runs if named(run.defense).prunes]
    own = {
        "defense": ",".join(comparison.defenses),
        "parameters": comparison.asked,
        "levels": comparison.levels,
        "min_compression": sizes[0] if sizes else None,
    }
    return _command(bounded[0], options, own)


def _command(config: SearchConfig, options: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """own: fields whose values are others than those of `config`."""
    values = {
        **options,
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(config)},
        **own,
    }
    values |= {name: options.get(name) for name in ("plugin", "dense", "members")}  # not the hash
    words = [
        word
        for one in all_options()
        if one.option.in_command
        for word in _words(one, values.get(one.field), config, str(options.get("preset")))
    ]
    return program("search.run", *words)


def _usual(config: SearchConfig, preset: str) -> TrainingConfig:
    """The training of dense models without any --set."""
    if preset in paper_presets():
        return paper(preset, config.defense).training
    usual = recipe(config.dataset, config.model)
    return (smoke(usual) if preset == "smoke" else usual).training


def _words(one: Declared, value: Any, config: SearchConfig, preset: str) -> list[str]:  # noqa: ANN401 - fields have values of any type
    """The words on the command line that ask for a field's value."""
    if one.field == "parameters" and isinstance(value, tuple):
        return [word for given in value for word in one.words(given)]
    if one.field == "parameters" and one.flag == "--set":
        numbers = [f"{name}={_given(number)}" for name, number in value.items()]
        asked = [*numbers, *training_in_words(config.training, _usual(config, preset))]
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
