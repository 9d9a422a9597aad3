"""The schema of what a run measures: trials.parquet and epochs.parquet, exact names, versioned."""

import dataclasses
import datetime

import pyarrow as pa

SCHEMA_VERSION = 2
"""Raised when a column changes its meaning; a reader of an older file fills the new columns.

Version 2: js_divergence is an estimate of its own; before, it was excess_gain / 2."""

COMPARATOR = "comparator"
ANCHOR, SEARCH = SEARCH_KINDS = ("anchor", "search")
"""A search consists of anchors, which are tried first, and of what the sampler suggests."""

KINDS = ("baseline", *SEARCH_KINDS, "confirm", COMPARATOR)
"""Comparators are measured as confirmed candidates are, but made by another pruner than the run's,
or with nothing removed: they show what the pruner buys, and never win."""

COMPLETE, PRUNED, FAILED = STATES = ("COMPLETE", "PRUNED", "FAILED")

REFERENCE, ADAPTIVE, SAMIA = "reference", "adaptive", "samia"
WITH_REFERENCES = frozenset((REFERENCE, ADAPTIVE, SAMIA))
"""Attacks in `attack_gains` that learn from matched references: baseline and confirm rows only. The
others are the family that a search sees."""

_METADATA = {b"prune_privacy.schema_version": str(SCHEMA_VERSION).encode()}

TRIAL_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("trial_id", pa.string()),
        ("number", pa.int64()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("feasible", pa.bool_()),
        ("seed", pa.int64()),
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("defense", pa.string()),
        ("sampler", pa.string()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("duration_s", pa.float64()),
        ("node", pa.string()),
        ("device", pa.string()),
        ("layer_names", pa.list_(pa.string())),
        ("layer_weights", pa.list_(pa.int64())),
        ("n", pa.list_(pa.int64())),
        ("nonzero", pa.int64()),
        ("weights", pa.int64()),
        ("compression", pa.float64()),
        ("flops_ratio", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("attack_gain", pa.float64()),
        ("attack_gain_se", pa.float64()),
        ("excess_gain", pa.float64()),
        ("js_divergence", pa.float64()),
        ("attack_accuracy", pa.float64()),
        ("attack_auc", pa.float64()),
        ("tpr_at_1pct_fpr", pa.float64()),
        ("tpr_at_01pct_fpr", pa.float64()),
        ("strongest_attack", pa.string()),
        ("attack_gains", pa.map_(pa.string(), pa.float64())),
        ("accuracy_violation", pa.float64()),
        ("compression_violation", pa.float64()),
        ("epochs", pa.int64()),
        ("images_seen", pa.int64()),
        ("error", pa.string()),
        ("pruner", pa.string()),
        ("defense_parameters", pa.map_(pa.string(), pa.float64())),
        ("defense_spent", pa.map_(pa.string(), pa.float64())),
        ("js_divergence_se", pa.float64()),
        ("parameters", pa.int64()),
    ],
    metadata=_METADATA,
)
"""One row per trial. Null where a stopped or failed trial has no comparable value."""

EPOCH_SCHEMA = pa.schema(
    [
        ("trial_id", pa.string()),
        ("phase", pa.string()),
        ("epoch", pa.int64()),
        ("loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("rho", pa.float64()),
        ("primal_residual", pa.float64()),
        ("dual_residual", pa.float64()),
        ("attack_accuracy", pa.float64()),
    ],
    metadata=_METADATA,
)
"""One row per (trial_id, phase, epoch); phase is dense | admm | retrain."""


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
"""One row per (model, attack, audited image): model is dense | winner, image counts D then D', a
higher score means member, probability is the score calibrated on other images."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One epoch of one phase. Residuals are relative: ||W - Z|| / ||W|| and ||dZ|| / ||W||.

    loss is the cross-entropy in nats, whatever else is minimised.  attack_accuracy is balanced: of
    Min-Max's inner attacker against its own D', at every epoch; else of "member iff classified
    correctly" at the ends of stages.
    """

    trial_id: str
    phase: str
    epoch: int
    loss: float
    train_accuracy: float
    val_accuracy: float
    rho: float | None = None
    primal_residual: float | None = None
    dual_residual: float | None = None
    attack_accuracy: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One row of trials.parquet; README says what each column means.

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
    nonzero: int | None = None
    weights: int
    compression: float | None = None
    flops_ratio: float | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    attack_gain: float | None = None
    attack_gain_se: float | None = None
    excess_gain: float | None = None
    js_divergence: float | None = None
    attack_accuracy: float | None = None
    attack_auc: float | None = None
    tpr_at_1pct_fpr: float | None = None
    tpr_at_01pct_fpr: float | None = None
    strongest_attack: str | None = None
    attack_gains: dict[str, float] | None = None
    accuracy_violation: float | None = None
    compression_violation: float | None = None
    epochs: int
    images_seen: int
    error: str | None = None
    pruner: str | None = None
    defense_parameters: dict[str, float] = dataclasses.field(default_factory=dict)
    defense_spent: dict[str, float] = dataclasses.field(default_factory=dict)
    js_divergence_se: float | None = None
    parameters: int | None = None
    """All parameters that ship, each once whatever its names; `weights` are the prunable ones."""


def to_table(rows: list[TrialRecord] | list[EpochRecord], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table of exactly `schema`."""
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    for field in schema:
        if pa.types.is_map(field.type):
            columns[field.name] = [
                None if cell is None else list(cell.items()) for cell in columns[field.name]
            ]
    return pa.table(columns, schema=schema)
