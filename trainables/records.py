"""The versioned schema of what a run measures, with the exact column names of its tables."""

import dataclasses
import datetime
import typing
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.base.annotations import without_none
from trainables.base.errors import one_line

SCHEMA_VERSION = 2
"""The version of the tables; it rises when a column changes its meaning.

Since version 2, js_divergence is an estimate of its own; before, it was excess_gain / 2. A reader
of an older file fills the columns that it lacks with nulls.
"""

COMPARATOR = "comparator"
"""The kind of a row that is measured for comparison only; see KINDS."""

ANCHOR, SEARCH = SEARCH_KINDS = ("anchor", "search")
"""The kinds of a search's trials: anchors, which are tried first, and the sampler's suggestions."""

KINDS = ("baseline", *SEARCH_KINDS, "confirm", COMPARATOR)
"""The kinds of rows. Comparators are measured as confirmed candidates are, but their weights are
allocated by rule, pruned by another pruner or not removed at all: they show what the search and the
pruner buy, and never win."""

COMPLETE, PRUNED, FAILED = STATES = ("COMPLETE", "PRUNED", "FAILED")
"""How a trial ended: with its full budget, stopped early, or with an error."""

NEURAL, REFERENCE, ADAPTIVE, SAMIA = "neural", "reference", "adaptive", "samia"
WITH_REFERENCES = frozenset((REFERENCE, ADAPTIVE, SAMIA))
"""The attacks in `attack_gains` that learn from references: the models of the same kind where the
dense network or a confirmed vector is measured, the dense models in a search. All other attacks are
the family that needs the target's own outputs alone."""

NETWORKS = frozenset((NEURAL, SAMIA))
"""The attacks that are networks. A search with references leaves them out: each takes longer than
the pruning, and neither ranks vectors as well as `adaptive` (`search/stages/search.py`)."""

COMPARISON, DEFENCES, ENDED = "comparison", "defences", "ended"
"""Of a comparison: in config.json its settings, in place of those of one run, and defence -> exit
status of each run that has ended; and the folder of its runs, each named by its defence."""

_VERSION_KEY = b"prune_privacy.schema_version"
_METADATA = {_VERSION_KEY: str(SCHEMA_VERSION).encode()}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One epoch of one phase. Residuals are relative: ||W - Z|| / ||W|| and ||dZ|| / ||W||.

    loss is the cross-entropy in nats, whatever else is minimised.  attack_accuracy is balanced: it
    belongs to Min-Max's inner attacker against its own D' at every epoch, else to the rule "member
    iff classified correctly", on at most 2,000 images a side, at the ends of stages.  A model that
    has no row of its own in trials.parquet (a reference, one of a race) is validated after its last
    epoch alone.
    """

    trial_id: str
    phase: str
    epoch: int
    loss: float
    train_accuracy: float
    val_accuracy: float | None
    rho: float | None = None
    primal_residual: float | None = None
    dual_residual: float | None = None
    attack_accuracy: float | None = None


def measured(factory: Callable[[], Any] = lambda: None) -> Any:  # noqa: ANN401 - stands in a field of any type
    """Declare a column that only a trial with its full budget fills from its last report."""
    return dataclasses.field(default_factory=factory, metadata={"measured": True})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One row of trials.parquet with one field per column; docs/results.md explains the main ones.

    A PRUNED or FAILED trial leaves every attack figure null: it has memorised less than a full
    trial and would look private.
    """

    run_id: str
    trial_id: str
    number: int
    kind: str
    state: str
    feasible: bool
    seed: int
    dataset: str
    model: str
    defense: str
    sampler: str
    started_at: datetime.datetime
    duration_s: float
    node: str
    device: str
    layer_names: list[str]
    layer_weights: list[int]
    n: list[int]
    nonzero: int | None = measured()
    weights: int
    compression: float | None = measured()
    flops_ratio: float | None = measured()
    train_accuracy: float | None = measured()
    val_accuracy: float | None = measured()
    test_accuracy: float | None = measured()
    attack_gain: float | None = measured()
    attack_gain_se: float | None = measured()
    excess_gain: float | None = measured()
    js_divergence: float | None = measured()
    attack_accuracy: float | None = measured()
    attack_auc: float | None = measured()
    tpr_at_1pct_fpr: float | None = measured()
    tpr_at_01pct_fpr: float | None = measured()
    strongest_attack: str | None = measured()
    attack_gains: dict[str, float] | None = measured()
    accuracy_violation: float | None = None
    compression_violation: float | None = None
    epochs: int
    images_seen: int
    error: str | None = None
    pruner: str | None = None
    defense_parameters: dict[str, float] = dataclasses.field(default_factory=dict)
    defense_spent: dict[str, float] = measured(dict)
    js_divergence_se: float | None = measured()
    parameters: int | None = None
    """All parameters that ship, each counted once; `weights` counts the prunable ones."""
    training_s: float | None = measured()
    """Seconds until the model was trained; the rest of `duration_s` went to measuring it."""
    answer_s: float | None = measured()
    """Seconds that the model took for one audited image, as released, in batches."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FrontRecord:
    """One row of front.parquet: the winner of a run at one level.

    Without a vector that keeps the level, `kept` is no and all figures are null; the ends of an
    interval are null where it is not known.  Gains are in nats, accuracies and drops fractions.
    """

    level: float
    """The accuracy, as a fraction, that may be lost."""

    kept: str
    """Whether the vector keeps it: yes, or undecided where the interval of the drop holds it."""

    trial_id: str | None = None
    """The vector's confirm row in trials.parquet."""

    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    excess_gain: float | None = None
    excess_gain_low: float | None = None
    excess_gain_high: float | None = None
    ratio: float | None = None
    """The excess gain over that of the dense network; null where the latter may be zero."""

    ratio_low: float | None = None
    ratio_high: float | None = None
    test_accuracy: float | None = None
    test_accuracy_low: float | None = None
    test_accuracy_high: float | None = None
    compression: float | None = None
    parameters: int | None = None
    """All parameters that ship, as in trials.parquet."""

    n: list[int] | None = None
    defense_parameters: dict[str, float] | None = None


MEASURED = tuple(
    field.name for field in dataclasses.fields(TrialRecord) if field.metadata.get("measured")
)
"""The columns that only a trial with its full budget fills."""

_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime.datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
    list[int]: pa.list_(pa.int64()),
    dict[str, float]: pa.map_(pa.string(), pa.float64()),
}


def _schema(record: type) -> pa.Schema:
    """One column for each field of a record, in order; every column can be null."""
    hints = typing.get_type_hints(record)
    return pa.schema(
        [
            (field.name, _ARROW[without_none(hints[field.name])])
            for field in dataclasses.fields(record)
        ],
        metadata=_METADATA,
    )


TRIAL_SCHEMA = _schema(TrialRecord)
"""The schema of trials.parquet: one row per trial, null where it has no comparable value."""

EPOCH_SCHEMA = _schema(EpochRecord)
"""The schema of epochs.parquet: one row per (trial_id, phase, epoch); the phase is dense, admm or
retrain."""

FRONT_SCHEMA = _schema(FrontRecord)
"""The schema of front.parquet: one row per level of a run with `--levels`, the least drop first."""

AUDIT_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("attack", pa.string()),
        ("image", pa.int64()),
        ("is_member", pa.bool_()),
        ("canary", pa.bool_()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
    ],
    metadata=_METADATA,
)
"""The schema of scores.parquet: one row per (model, attack, audited image). The model is dense or
winner, `image` counts D and then D', a higher score means member, and the probability is the score
calibrated on other images."""


TERM_SCHEMA = pa.schema(
    [
        ("vector", pa.string()),
        ("half", pa.int64()),
        ("image", pa.int64()),
        ("copy_of", pa.int64()),
        ("label", pa.int64()),
        ("inside", pa.bool_()),
        ("probability", pa.float64()),
        ("term", pa.float64()),
    ],
    metadata=_METADATA,
)
"""The schema of confirm/terms.parquet: one row per (vector, half, audited image). The vector is the
trial_id of its first row in trials.parquet, the model of half h trained on the images that are
`inside` it, `image` is the position in the data set, `copy_of` that of its first copy or its own,
and `term` is what eq. 1 averages, in nats."""

CORRECT_SCHEMA = pa.schema(
    [
        ("vector", pa.string()),
        ("half", pa.int64()),
        ("part", pa.string()),
        ("image", pa.int64()),
        ("correct", pa.bool_()),
    ],
    metadata=_METADATA,
)
"""The schema of confirm/correct.parquet: whether the model of a half, as in terms.parquet, is right
about an image of the part `validation`, `test` or `audited`: the audited images are members of half
of the models."""


def to_table(
    rows: list[TrialRecord] | list[EpochRecord] | list[FrontRecord], schema: pa.Schema
) -> pa.Table:
    """The rows as an Arrow table with exactly the columns of `schema`."""
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    for field in schema:
        if pa.types.is_map(field.type):
            columns[field.name] = [
                None if cell is None else list(cell.items()) for cell in columns[field.name]
            ]
    return pa.table(columns, schema=schema)


class DamagedPart(ValueError):
    """The bytes are not a table of ours; the message is one line."""


class NewerPart(ValueError):
    """A newer release wrote the table; the message is one line."""


def read_part(content: bytes, schema: pa.Schema) -> pa.Table:
    """Read one file of a table, with exactly the columns of `schema`; every program reads so.

    Columns that an older version lacked are null; columns that no longer exist are dropped.
    Raises DamagedPart or NewerPart.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
        _check_version(table)
        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in schema
        ]
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DamagedPart(one_line(error)[:300] or type(error).__name__) from error
    return pa.table(columns, schema=schema)


def _check_version(table: pa.Table) -> None:
    stated = (table.schema.metadata or {}).get(_VERSION_KEY, b"")
    if not stated.isdigit():
        raise DamagedPart("it states no schema version")
    if int(stated) > SCHEMA_VERSION:
        raise NewerPart(
            f"it has schema version {int(stated)}, and this program reads up to {SCHEMA_VERSION}"
        )
