"""What a file of a run may hold; other values are damage, reported before any figure is drawn."""

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from trainables.records import COMPLETE, KINDS, STATES

EARLIEST = datetime.datetime(2, 1, 1, tzinfo=datetime.UTC)
LATEST = datetime.datetime(9900, 1, 1, tzinfo=datetime.UTC)
"""Beyond these, dates overflow in another time zone or with a duration added. Between them any is
accepted: a machine whose clock is wrong has measured all the same."""

LONGEST_S = 1e9
"""The longest duration of a trial in seconds, about thirty years."""

MOST = 1e12
"""The largest weight, gain or count: beyond it squares and intervals lose their meaning."""

SHARES = (
    "train_accuracy",
    "val_accuracy",
    "test_accuracy",
    "attack_accuracy",
    "attack_auc",
    "tpr_at_1pct_fpr",
    "tpr_at_01pct_fpr",
)
_ALWAYS = ("run_id", "trial_id", "number", "kind", "state", "seed", "started_at", "duration_s")
_MEASURED = (
    "val_accuracy",
    "excess_gain",
    "attack_gain_se",
    "attack_accuracy",
    "attack_gains",
    "strongest_attack",
    "compression",
    "nonzero",
    "weights",
)
_MAPS = ("attack_gains", "defense_parameters", "defense_spent")
_TEXTS = ("dataset", "model", "defense", "pruner", "sampler")
_COUNTS = ("trials", "seed", "confirm_seeds", "references", "models", "shadows")


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= MOST
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST


def damage_of_config(config: Mapping[str, Any]) -> str | None:
    """What is wrong with the content of config.json, None when nothing is.

    config: it has the keys that a run needs; others are only shown.
    """
    search, sizes = config["search"], config["split_sizes"]
    if not isinstance(config["run_id"], str):
        return "run_id is not text"
    if not isinstance(search, Mapping):
        return "search is not a table of settings"
    if not isinstance(sizes, Mapping) or not all(
        _is_count(size) and size for size in sizes.values()
    ):
        return "split_sizes are not whole numbers"
    wrong = _of_another_kind(config, search) + _of_another_kind_if_there(config, search)
    if wrong:
        return f"{wrong[0]} has a value of another kind"
    return _damage_of_comparators(config.get("comparators", {}))


def _of_another_kind(config: Mapping[str, Any], search: Mapping[str, Any]) -> list[str]:
    """Names of values of another type than the text, count or number that the reports need."""
    texts = {name: search.get(name) for name in _TEXTS}
    texts |= {name: config.get(name) for name in ("command", "created_at")}
    numbers = {
        "max_accuracy_drop": search.get("max_accuracy_drop"),
        "min_compression": search.get("min_compression") or 0,
        "canaries": search.get("canaries") or 0,
        "limit": search.get("limit") or 0,
        "dense_val_accuracy": config.get("dense_val_accuracy") or 0,
    }
    return [
        *(name for name, value in texts.items() if not isinstance(value, str | None)),
        *(name for name in _COUNTS if not _is_count(search.get(name, 0))),
        *(name for name, value in numbers.items() if not _is_number(value)),
        *(["seeds"] if not isinstance(config.get("seeds", {}), Mapping) else []),
    ]


def _of_another_kind_if_there(config: Mapping[str, Any], search: Mapping[str, Any]) -> list[str]:
    """The same for values that only newer releases, or only some data sets, write."""
    notes, unpruned = config.get("notes") or [], config.get("unpruned") or {}
    parameters, chance = search.get("parameters") or {}, config.get("chance_accuracy")
    start, levels = config.get("pretrained_start"), search.get("levels") or []
    more, given = search.get("more_models") or [], config.get("given") or {}
    said = given.get("said", []) if isinstance(given, Mapping) else None
    whole = {
        "notes": isinstance(notes, list) and all(isinstance(note, str) for note in notes),
        "unpruned": isinstance(unpruned, Mapping)
        and all(isinstance(reason, str) for reason in unpruned.values()),
        "given": isinstance(said, list) and all(isinstance(line, str) for line in said),
        "levels": isinstance(levels, list) and all(map(_is_number, levels)),
        "more_models": isinstance(more, list) and all(map(_is_count, more)),
        "pretrained_start": isinstance(start, str | None),
        "parameters": isinstance(parameters, Mapping)
        and all(isinstance(numbers, Mapping) for numbers in parameters.values()),
        "noun": isinstance(config.get("noun", "images"), str),
        "chance_accuracy": chance is None or (_is_number(chance) and 0 <= chance <= 1),
    }
    return [name for name, fits in whole.items() if not fits]


def _damage_of_comparators(rules: object) -> str | None:
    if isinstance(rules, Mapping) and all(
        isinstance(n, list) and all(map(_is_count, n)) for n in rules.values()
    ):
        return None
    return "comparators are not vectors of counts"


def damage_of_trials(table: pa.Table) -> str | None:
    """What is wrong with rows of TRIAL_SCHEMA, None when nothing is."""
    started = table["started_at"].cast(pa.int64()).to_pylist()
    low, high = (round(moment.timestamp() * 1e6) for moment in (EARLIEST, LATEST))
    if any(moment is not None and not low <= moment <= high for moment in started):
        return "started_at is not the date of a trial"
    return _first(table.drop_columns(["started_at"]), started, _damage_of_trial)


def _first(
    table: pa.Table, started: list[int | None], check: Callable[[Mapping[str, Any]], str | None]
) -> str | None:
    rows = table.to_pylist(maps_as_pydicts="strict")
    for row, moment in zip(rows, started, strict=True):
        damage = check({**row, "started_at": moment})
        if damage is not None:
            return damage
    return None


def _damage_of_trial(row: Mapping[str, Any]) -> str | None:
    absent = [name for name in _ALWAYS if row[name] is None]
    if row["state"] == COMPLETE:
        absent += [name for name in _MEASURED if row[name] is None]
    if absent:
        return f"{absent[0]} is missing"
    if row["kind"] not in KINDS or row["state"] not in STATES:
        return f"no trial is of kind {row['kind']!r} and state {row['state']!r}"
    if not 0 <= row["duration_s"] <= LONGEST_S:
        return f"duration_s is {row['duration_s']}"
    numbers = [name for name, value in row.items() if isinstance(value, float)]
    wild = [name for name in numbers if not math.isnan(row[name]) and not _is_number(row[name])]
    wild += [name for name in SHARES if row[name] is not None and _outside(row[name])]
    if row["state"] == COMPLETE:
        wild += [
            name for name in _MEASURED if isinstance(row[name], float) and math.isnan(row[name])
        ]
    if row["parameters"] is not None and not _is_count(row["parameters"]):
        wild.append("parameters")
    wild += [name for name in _MAPS if not all(map(_is_number, (row[name] or {}).values()))]
    if wild:
        return f"{wild[0]} is {row[wild[0]]}"
    return _damage_of_layers(row)


def _outside(share: float) -> bool:
    return share < 0 or share > 1


def _damage_of_layers(row: Mapping[str, Any]) -> str | None:
    names, sizes, kept = (row[name] or [] for name in ("layer_names", "layer_weights", "n"))
    counts = {len(sizes)} if row["state"] == COMPLETE else {len(sizes), 0}
    whole = len(names) == len(sizes) and len(kept) in counts
    whole = whole and None not in (*names, *sizes, *kept)
    if not whole or not all(0 < size <= MOST for size in sizes):
        return "layer_names, layer_weights and n do not belong together"
    if not all(0 <= n <= size for n, size in zip(kept, sizes, strict=False)):
        return "n keeps more weights than there are, or fewer than none"
    return None


def damage_of_epochs(table: pa.Table) -> str | None:
    """What is wrong with rows of EPOCH_SCHEMA, None when nothing is. A loss may be infinite."""
    for name in ("trial_id", "phase", "epoch"):
        if table[name].null_count:
            return f"{name} is missing"
    epochs = table["epoch"].to_pylist()
    return None if all(map(_is_count, epochs)) else "epoch is not a count"


def damage_of_scores(table: pa.Table) -> str | None:
    """What is wrong with rows of AUDIT_SCHEMA, None when nothing is."""
    for name in table.column_names:
        if table[name].null_count:
            return f"{name} is missing"
    for name in ("score", "probability"):
        if not all(map(_is_number, table[name].to_pylist())):
            return f"{name} is not finite"
    if all(table["canary"].to_pylist()):
        return "canary says that nothing has its own label"
    return None
