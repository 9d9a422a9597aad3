"""Every table of the reports: frames in, ready text out (the templates escape it)."""

from analysis.tables.attacks import attack_gains, audits, theory
from analysis.tables.crossed import cross_audit
from analysis.tables.defenses import costs, in_short, of_level
from analysis.tables.front import front
from analysis.tables.measured import attack_intervals, attacker, both_sides
from analysis.tables.table import Table, as_markdown, as_text
from analysis.tables.trials import all_trials, failed_trials, settings
from analysis.tables.vectors import (
    comparators,
    confirmed_vectors,
    dense_and_winner,
    layer_counts,
    pruners,
    unpruned,
    vector_names,
)
from analysis.tables.words import (
    UNKNOWN,
    between,
    compressed,
    compression_of,
    duration,
    level_name,
    nats,
    percent,
    prunable_share,
    size_in_words,
    times,
    with_bounds,
)

__all__ = [
    "UNKNOWN",
    "Table",
    "all_trials",
    "as_markdown",
    "as_text",
    "attack_gains",
    "attack_intervals",
    "attacker",
    "audits",
    "between",
    "both_sides",
    "comparators",
    "compressed",
    "compression_of",
    "confirmed_vectors",
    "costs",
    "cross_audit",
    "dense_and_winner",
    "duration",
    "failed_trials",
    "front",
    "in_short",
    "layer_counts",
    "level_name",
    "nats",
    "of_level",
    "percent",
    "prunable_share",
    "pruners",
    "settings",
    "size_in_words",
    "theory",
    "times",
    "unpruned",
    "vector_names",
    "with_bounds",
]
