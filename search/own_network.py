"""The options with which a user's own network, members and training take the place of ours."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.recipes import recipe
from search.search_options import SearchConfig
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.config import TrainingConfig
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES

TRAINING = "training."
"""What the name of a number of the dense training begins with, after --set."""

EPOCHS = (0.25, 0.5, 1.0, 2.0)
"""Shares of the recipe's epochs that are tried where the recipe is fitted to a given network."""

RATES = (0.3, 3.0)
"""Factors on the recipe's rate, tried with the best number of epochs where no number fits."""

_FIELDS = tuple(field.name for field in dataclasses.fields(TrainingConfig))


def is_of_training(word: str) -> bool:
    """Whether a word after --set is about the dense training."""
    return word.startswith(TRAINING)


def with_own_training(config: SearchConfig, words: Sequence[str]) -> SearchConfig:
    """The settings with `training.NAME=VALUE` in the recipe of the dense models.

    Raises InvalidInput for an unknown name, and for a value that does not fit it.
    """
    asked = dict(_of_training(word) for word in words if is_of_training(word))
    if not asked:
        return config
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **asked))


def _of_training(word: str) -> tuple[str, Any]:
    name, _, text = word.removeprefix(TRAINING).partition("=")
    known(name, _FIELDS, f"--set {TRAINING}")
    if name == "optimizer":
        return name, text
    if name == "augment":
        return name, {"true": True, "false": False}[known(text, ("true", "false"), f"--set {word}")]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    whole = name in ("epochs", "batch_size")
    if not math.isfinite(value) or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise InvalidInput(f"--set {word}: {name} is {kind}, as in --set {TRAINING}{name}=1")
    return name, int(value) if whole else value


def training_in_words(config: SearchConfig) -> list[str]:
    """The words after --set that make the recipe's dense training into that of `config`."""
    usual = recipe(config.dataset, config.model).training
    return [
        f"{TRAINING}{name}={str(value).lower() if name == 'augment' else value}"
        for name in _FIELDS
        if (value := getattr(config.training, name)) != getattr(usual, name)
    ]


def with_own_network(config: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    """The settings with the hashes of --dense and --members.

    Raises InvalidInput where a file cannot be read, or does not go with another option.
    """
    dense, members = given["dense"], given["members"]
    in_plugin = DATASETS[config.dataset].positions is not None
    if members is not None or in_plugin:
        config = _with_own_members(config, given)
    if dense is None:
        return config
    if members is None and not in_plugin:
        raise InvalidInput(
            f"--dense {dense} needs what it was trained on: give --members, or `parts` "
            "where the plugin registers the data set"
        )
    if config.canaries:
        raise InvalidInput(
            f"--canaries {config.canaries:g} are labels that --dense {dense} was not trained with: "
            "leave one of them out"
        )
    return dataclasses.replace(
        config, dense=file_hash("--dense", dense), fit_training=_is_to_fit(config, given)
    )


def _is_to_fit(config: SearchConfig, given: Mapping[str, Any]) -> bool:
    """Whether nobody said how the references are trained, and it is open what they take."""
    from trainables.plugin import TRAININGS

    told = any(map(is_of_training, given["set"] or [])) or TRAININGS or config.no_references
    told = told or DATASETS[config.dataset].training is not None
    return not told and given["preset"] != "smoke" and DEFENSES[config.defense].epochs is None


def _with_own_members(config: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    file = given["members"]
    source = f"--members {file}" if file is not None else f"the parts of {config.dataset}"
    if file is not None and DATASETS[config.dataset].positions is not None:
        raise InvalidInput(
            f"--members {file}: data set {config.dataset!r} has parts of its own: leave one of "
            "them out"
        )
    if given["limit"] is not None:
        raise InvalidInput(
            f"--limit {given['limit']} draws at random, and {source} name all: leave --limit out"
        )
    if config.duplicates == "drop":
        raise InvalidInput(
            f"--duplicates drop leaves copies out, and {source} name them: use together or keep"
        )
    if given["preset"] not in (None, "default", "smoke"):
        raise InvalidInput(
            f"--preset {given['preset']} is the paper's, which drew its members: leave it or "
            f"{source} out"
        )
    hashed = None if file is None else file_hash("--members", file)
    return dataclasses.replace(config, members=hashed, limit=None)


def file_hash(option: str, path: Path) -> str:
    """SHA-256 of a file's bytes. Raises InvalidInput where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InvalidInput(f"{option} {path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def require_unchanged(option: str, path: Path | None, asked: str | None) -> None:
    """Raise InvalidInput where a file is not the one that the run began with."""
    if path is not None and file_hash(option, path) != asked:
        raise InvalidInput(
            f"{option} {path} has changed since the run began: restore it, or start a new run"
        )
