"""The table of the cross-audit: leak and accuracy of kinds of models, compared in pairs."""

import math
from collections.abc import Callable, Mapping

from analysis.statistics import Interval
from analysis.statistics.crossed_models import CrossedModels
from analysis.tables.table import Table
from analysis.tables.words import UNKNOWN, nats, percent, times
from trainables.base import noun
from trainables.outcome.feasible import judged


def cross_audit(
    found: Mapping[str, tuple[CrossedModels, float]],
    dense: str,
    best: str | None,
    max_accuracy_drop: float,
) -> Table:
    """One line for each kind of models, the dense ones first, then the least leak first.

    found: name -> models and compression; only kinds with models of the dense ones' halves.
    dense, best: the names of the dense models and of the winner's.
    """
    names = sorted(found, key=lambda name: (name != dense, found[name][0].excess.estimate))
    before = found[dense][0]
    ours = None if best is None else found[best][0]
    return Table(
        caption=f"Cross-audit: {before.models} models of each kind, one per half of the audited "
        f"{noun.many()}, each attacked with the others as references; 95% intervals over trainings "
        f"and {noun.many()}",
        headers=[
            "models",
            "excess gain (nats)",
            "ratio to dense",
            "minus the winner's (nats)",
            "test accuracy",
            f"accuracy lost on unseen {noun.many()}, in pairs (points)",
            f"loses at most {100 * max_accuracy_drop:g} points",
            "compression",
        ],
        rows=[
            [
                name,
                _bounded(models.excess, nats),
                UNKNOWN if name == dense else _ratio(models.ratio_to(before)),
                UNKNOWN if ours in (None, models) else _bounded(models.less_than(ours), nats),
                _bounded(models.accuracy("test"), percent),
                *_price(before, models, max_accuracy_drop),
                times(compression),
            ]
            for name, (models, compression) in ((name, found[name]) for name in names)
        ],
    )


def _price(dense: CrossedModels, models: CrossedModels, most: float) -> list[str]:
    """The accuracy lost, and whether it keeps the bound: yes, no or undecided."""
    if models is dense:
        return [UNKNOWN, UNKNOWN]
    drop = models.lost_against(dense)
    return [_bounded(drop, lambda x: f"{100 * x:.1f}"), judged(drop.low, drop.high, most)]


def _bounded(interval: Interval, words: Callable[[float], str]) -> str:
    return f"{words(interval.estimate)}\n{words(interval.low)} to {words(interval.high)}"


def _ratio(quotient: Interval) -> str:
    if not math.isfinite(quotient.low):
        return "unknown"  # the dense models' leak is not distinguishable from zero
    return _bounded(quotient, lambda x: f"{x:.2f}")
