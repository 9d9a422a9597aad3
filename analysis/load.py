"""Reads a run folder into tables; says in one line what is wrong with one that cannot be read."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd
import pyarrow as pa

from analysis.folder import begun_runs, config_of
from analysis.statistics.crossed_models import CrossedModels, damage_of_correct, damage_of_terms
from analysis.validity import (
    damage_of_config,
    damage_of_epochs,
    damage_of_scores,
    damage_of_trials,
)
from trainables.base import noun
from trainables.base.commandline import resume
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, Version, children, place, versions
from trainables.records import (
    AUDIT_SCHEMA,
    COMPARISON,
    CORRECT_SCHEMA,
    DEFENCES,
    EPOCH_SCHEMA,
    TERM_SCHEMA,
    TRIAL_SCHEMA,
    DamagedPart,
    NewerPart,
    read_part,
)

_NEEDED = ("run_id", "search", "split_sizes")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run folder in memory."""

    path: Place

    config: dict[str, Any]
    """config.json: the resolved settings, seeds, split hashes, packages, hardware."""

    trials: pd.DataFrame
    """One row per trial, the columns of TRIAL_SCHEMA; `n` and the layers are tuples, `attack_gains`
    a dict, missing values None or NaN."""

    epochs: pd.DataFrame
    """One row per (trial_id, phase, epoch), the columns of EPOCH_SCHEMA."""

    audit: pd.DataFrame | None = None
    """One row per (model, attack, image), the columns of AUDIT_SCHEMA; None without an audit."""

    crossed: Mapping[str, CrossedModels] = dataclasses.field(default_factory=dict)
    """Vector -> what the cross-audit found about its models; empty in runs of older releases."""


Known = dict[Place, tuple[Version, pa.Table]]
"""Files of a run -> what they held, for those who read it again and again."""


def load_run(path: Place | str, known: Known | None = None) -> RunRecord:
    """Read the run in folder `path`; a run that has only begun has empty tables.

    known: only parts that are new or have changed since are read, and it then holds them too.
    Raises InvalidInput when the folder is not a run, is damaged, or was written by a newer version.
    """
    folder = place(path) if isinstance(path, str) else path
    config, known = _read_config(folder), {} if known is None else known
    trials = _read_parts(folder, "trials.parquet", TRIAL_SCHEMA, damage_of_trials, known)
    epochs = _read_parts(folder, "epochs.parquet", EPOCH_SCHEMA, damage_of_epochs, known)
    frame = trials.to_pandas(maps_as_pydicts="strict")
    for column in ("n", "layer_names", "layer_weights"):
        frame[column] = pd.Series(
            [() if cell is None else tuple(cell) for cell in trials[column].to_pylist()],
            dtype=object,
        )
    frame = frame.sort_values(["started_at", "trial_id"], kind="stable", ignore_index=True)
    return RunRecord(
        path=folder,
        config=config,
        trials=frame,
        epochs=epochs.to_pandas(),
        audit=_read_audit(folder),
        crossed=_read_crossed(folder),
    )


def load_comparison(path: Place | str) -> tuple[dict[str, Any], list[RunRecord]]:
    """Read config.json of a comparison of defences, and its runs that have begun, in its order.

    Raises InvalidInput when the folder holds no comparison, or one of its runs is damaged.
    """
    return config_of(path), [load_run(run) for run in begun_runs(path)[0]]


def _read_audit(run: Place) -> pd.DataFrame | None:
    file = run / "audit" / "scores.parquet"
    if not file.exists():
        return None
    scores: pd.DataFrame = _read_part(run, file, AUDIT_SCHEMA, damage_of_scores).to_pandas()
    return scores


def _read_crossed(run: Place) -> dict[str, CrossedModels]:
    """Only vectors whose terms are whole: they are written last."""
    found = {}
    for part in _parts(run / "confirm" / "terms.parquet"):
        terms = _read_part(run, part, TERM_SCHEMA, damage_of_terms)
        beside = run / "confirm" / "correct.parquet" / part.name
        correct = _read_part(run, beside, CORRECT_SCHEMA, damage_of_correct)
        try:
            found[part.name.removesuffix(".parquet")] = CrossedModels.of(terms, correct)
        except ValueError as error:
            raise InvalidInput(
                f"{beside} is damaged: {one_line(error)}; delete it and redo it: {resume(run)}"
            ) from error
    return found


def run_name(run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """The run's folder name, or its path where names repeat among `runs`."""
    names = [other.path.resolve().name for other in runs]
    name = run.path.resolve().name
    return name if names.count(name) == 1 else str(run.path)


def noun_of(runs: Sequence[RunRecord]) -> str:
    """What the records of these runs are called; older runs knew images only."""
    found = {str(run.config.get("noun", noun.IMAGES)) for run in runs}
    if len(found) > 1:
        return noun.RECORDS
    return found.pop() if found else noun.IMAGES


Said = TypeVar("Said")
More = ParamSpec("More")


def in_its_words(
    say: Callable[Concatenate[RunRecord, More], Said],
) -> Callable[Concatenate[RunRecord, More], Said]:
    """The same function of a run, which calls the run's records what the run calls them."""

    @functools.wraps(say)
    def said(run: RunRecord, /, *more: More.args, **named: More.kwargs) -> Said:
        with noun.spoken(noun_of([run])):
            return say(run, *more, **named)

    return said


def load_distinct(paths: Sequence[Place | str]) -> list[RunRecord]:
    """Read several runs. Raises InvalidInput when one is given twice."""
    places = [place(path) if isinstance(path, str) else path for path in paths]
    resolved = [path.resolve() for path in places]
    twice = [str(path) for path in places if resolved.count(path.resolve()) > 1]
    if twice:
        raise InvalidInput(f"{twice[0]} is given twice; name different runs")
    return [load_run(path) for path in places]


def _read_config(folder: Place) -> dict[str, Any]:
    """Of one run."""
    config, file = config_of(folder), folder / "config.json"
    if COMPARISON in config:
        raise InvalidInput(
            f"{folder} holds a comparison of defences: give one of its runs, {folder / DEFENCES}/*"
        )
    missing = [name for name in _NEEDED if name not in config]
    if missing:
        raise InvalidInput(f"{file} is damaged: it lacks {', '.join(missing)}")
    damage = damage_of_config(config)
    if damage is not None:
        raise InvalidInput(f"{file} is damaged: {damage}; restore it, or run again")
    return config


Check = Callable[[pa.Table], str | None]


def _read_parts(run: Place, name: str, schema: pa.Schema, check: Check, known: Known) -> pa.Table:
    """All parts of one table."""
    now, tables = versions(run / name), [schema.empty_table()]
    for part in (run / name / each for each in sorted(now) if _is_part(each)):
        version, table = known.get(part, (None, None))
        if table is None or version != now[part.name]:
            table = _read_part(run, part, schema, check)
            known[part] = now[part.name], table
        tables.append(table)
    return pa.concat_tables(tables)


def _is_part(name: str) -> bool:
    """A part that is still being written starts with a dot."""
    return re.fullmatch(r"[^.].*\.parquet", name) is not None


def _parts(folder: Place) -> list[Place]:
    return [file for file in children(folder) if _is_part(file.name)]


def _read_part(run: Place, part: Place, schema: pa.Schema, check: Check) -> pa.Table:
    try:
        found = read_part(part.read_bytes(), schema)
    except (DamagedPart, OSError) as error:
        raise InvalidInput(
            f"{part} cannot be read: {_one_line(error)}; delete it and redo it: {resume(run)}"
        ) from error
    except NewerPart as error:
        raise InvalidInput(f"{part}: {error}; update the program") from error
    damage = check(found)
    if damage is not None:
        raise InvalidInput(
            f"{part} is damaged: {one_line(damage)}; delete it and redo it: {resume(run)}"
        )
    return found


def _one_line(error: Exception) -> str:
    return one_line(error)[:300] or type(error).__name__
