"""What --preset names: the rows of the paper, and quick runs without meaningful figures."""

import dataclasses

from search.recipes import RECIPES, recipe
from search.search_options import SearchConfig
from trainables.data.registry import DATASETS
from trainables.models.registry import MODELS
from trainables.paper import COMPRESSION, DROPS, TASKS

SMOKE_SUFFIX = "-smoke"
"""The ending of a paper preset that makes it a quick run without meaningful figures."""


def paper_presets() -> dict[str, str]:
    """Preset -> DATASET-MODEL, for each row of the paper that runs here and for its smoke twin."""
    names = {
        f"paper-table{table}-{row}": row
        for table, rows in TASKS.items()
        for row in rows
        if _can_run(*row.split("-"))
    }
    return names | {f"{name}{SMOKE_SUFFIX}": row for name, row in names.items()}


def paper_presets_in_words() -> str:
    """All paper presets in short form: the rows of each table."""
    available = paper_presets()
    tables = [
        f"{table}: " + ", ".join(row for row in rows if f"paper-table{table}-{row}" in available)
        for table, rows in TASKS.items()
        if any(f"paper-table{table}-{row}" in available for row in rows)
    ]
    return (
        f"paper-tableN-ROW[{SMOKE_SUFFIX}]: a row of Wang et al. 2021 under the system that "
        f"--defense names, with the paper's bounds; N: ROW are {'; '.join(tables)}"
    )


def _can_run(dataset: str, model: str) -> bool:
    return (
        dataset in RECIPES
        and model in MODELS
        and MODELS[model].takes(DATASETS[dataset].image_shape)
    )


def paper(name: str, defense: str) -> SearchConfig:
    """The settings for a row of the paper under one of its systems; `name` is in paper_presets.

    The bounds are the paper's own: the compression in Table 4 and the accuracy that it paid.
    """
    row = paper_presets()[name]
    config = dataclasses.replace(
        recipe(*row.split("-")),
        max_accuracy_drop=DROPS.get((row, defense), 0.01),
        min_compression=COMPRESSION.get(row),
    )
    return smoke(config) if name.endswith(SMOKE_SUFFIX) else config


def smoke(config: SearchConfig) -> SearchConfig:
    """The same path in a minute: every phase runs, but no figure means anything."""
    return dataclasses.replace(
        config,
        trials=4,
        confirm_top=1,
        models=4,
        max_accuracy_drop=0.9,
        min_compression=None,
        training=dataclasses.replace(config.training, epochs=1),
        admm=dataclasses.replace(
            config.admm, iterations=1, epochs_per_iteration=1, retrain_epochs=1
        ),
        attack=dataclasses.replace(config.attack, folds=2, neural_epochs=1),
    )
