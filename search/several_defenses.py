"""From words to the settings of a comparison: what --defense all, or a list of names, asks for."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from search.comparison import CONFIRM_TOP, LEVELS, MODELS, Comparison, races
from search.machine_options import PRESETS
from search.option_fields import exactly, fractions
from search.own_network import is_of_training
from search.search_options import SearchConfig
from search.space_kind import RECIPE as RECIPE_TOO
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.defenses.recipe import RECIPES_PRUNER
from trainables.defenses.registry import DEFENSES, Parameter

ALL = "all"
"""What --defense takes for every defence there is, those of a plugin too."""

Given = dict[str, Any]
"""The parsed arguments: option -> value, None where it was not given."""

_ONE_ONLY = {
    "comparators": "--comparators are allocations of one defence's weights",
    "no_references": "--no-references leaves nothing that compares in pairs",
    "probe": "--probe measures one defence",
}
"""Options that a comparison cannot take -> why."""


def listed(value: str | None) -> tuple[str, ...]:
    """The defences that --defense lists; empty where it names one.

    Raises InvalidInput for an unknown name, and for one that is listed twice.
    """
    if value is None or (value != ALL and "," not in value):
        return ()
    names = tuple(DEFENSES) if value == ALL else tuple(value.split(","))
    if ALL in names:
        raise InvalidInput(f"--defense {value}: {ALL} stands for every defence, and alone")
    for name in names:
        known(name, DEFENSES, "--defense")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidInput(f"--defense {value} lists {twice[0]} twice: name each once")
    return names


def comparison(
    names: tuple[str, ...],
    given: Given,
    recipe: SearchConfig,
    one: Callable[[Given], SearchConfig],
    numbers: Callable[[SearchConfig], Mapping[str, Parameter]],
) -> Comparison:
    """The settings of a run of each defence, with what they share.

    given: the options in common.  recipe: of the data set and network.  one: the settings that the
    options of one run ask for.  numbers: all that --set may name in a run of these settings.
    Raises InvalidInput, one line, for options that none of the defences or no comparison takes.
    """
    _refuse(names, given)
    asked = list(given["set"] or [])
    if given["epsilon"] is not None:
        asked.append(f"epsilon={given['epsilon']}")
    own = {name: numbers(dataclasses.replace(recipe, defense=name)) for name in names}
    every = tuple(dict.fromkeys(number for each in own.values() for number in each))
    for word in asked:
        if is_of_training(word):
            continue
        known(word.partition("=")[0], every or ("none",), "--set")
    shared = {**given, "epsilon": None, "no_more_models": True}
    shared["models"] = given["models"] or min(MODELS, recipe.models)
    shared["confirm_top"] = given["confirm_top"] or CONFIRM_TOP
    if not races(recipe.trials if given["trials"] is None else given["trials"]):
        shared["no_race"] = True
    levels = _levels(given, recipe)
    runs = []
    for name in names:
        words = [
            word for word in asked if is_of_training(word) or word.partition("=")[0] in own[name]
        ]
        runs.append(one({**shared, "set": words, **_bounds(name, given, levels, words)}))
    fits = all(run.fit_training for run in runs)  # they share their dense models
    runs = [dataclasses.replace(run, fit_training=fits) for run in runs]
    return Comparison(runs=tuple(runs), asked=tuple(asked))


def _refuse(names: tuple[str, ...], given: Given) -> None:
    if (given["preset"] or "default") not in PRESETS:
        raise InvalidInput(
            f"--preset {given['preset']} is a row of the paper under one system, whose bounds are "
            "those of that system: give one --defense, or leave the preset out"
        )
    for option, why in _ONE_ONLY.items():
        if given[option]:
            raise InvalidInput(f"{why}: leave it out, or give one --defense")
    bound = given["min_compression"]
    if bound is not None and not any(DEFENSES[name].prunes for name in names):
        raise InvalidInput(
            f"--min-compression {bound:g} cannot be met: none of {', '.join(names)} removes "
            "weights: leave it out"
        )


def _levels(given: Given, recipe: SearchConfig) -> tuple[float, ...]:
    """The drops in accuracy that are compared; a preset's own bound is one of them."""
    asked = LEVELS if given["levels"] is None else fractions(given["levels"])
    bound = given["max_accuracy_drop"]
    besides = () if bound is None and given["preset"] != "smoke" else (bound,)
    found = {recipe.max_accuracy_drop if one is None else one for one in (*asked, *besides)}
    wrong = [level for level in found if not 0 <= level < 1]
    if wrong:
        raise InvalidInput(
            f"--levels are fractions in [0, 1), got {wrong[0]}: write 0.01 for one point"
        )
    return tuple(sorted(found))


def _bounds(
    name: str, given: Given, levels: tuple[float, ...], words: list[str]
) -> dict[str, object]:
    """The options of one defence that differ from those of the others.

    All look for the least leak within the loosest bound, and at each of the others besides; where
    the epsilon is given there is one goal, the accuracy, and what has no defence has no bound.
    """
    defense = DEFENSES[name]
    guarantee = f"{defense.guarantee}="
    fixed = any(word.startswith(guarantee) and ":" not in word for word in words)
    space = given["space"]
    if space is not None and not (defense.prunes and given["pruner"] in (None, RECIPES_PRUNER)):
        space = space.removeprefix(RECIPE_TOO)
    return {
        "defense": name,
        "levels": None if defense.is_bare or fixed else ",".join(map(exactly, levels)),
        "max_accuracy_drop": None if defense.is_bare else levels[-1],
        "min_compression": given["min_compression"] if defense.prunes else None,
        "space": space,
    }
