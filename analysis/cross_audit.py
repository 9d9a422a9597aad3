"""The cross-audit of a run: which kinds of models were audited, under the names of its report."""

import dataclasses
import math
from collections.abc import Mapping

import pandas as pd

from analysis import statistics, tables
from analysis.load import RunRecord
from analysis.statistics import Interval
from analysis.statistics.crossed_models import CrossedModels
from analysis.statistics.exposure import Exposed, most_exposed
from trainables.base import noun
from trainables.outcome.feasible import NO, UNDECIDED, YES, judged
from trainables.records import COMPARATOR

DENSE = "dense"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """The winner's models beside the dense ones of the same halves."""

    winner: CrossedModels
    dense: CrossedModels
    max_accuracy_drop: float

    @property
    def ratio(self) -> Interval:
        """Excess gain of the winner's models over that of the dense ones."""
        return self.winner.ratio_to(self.dense)

    @property
    def drop(self) -> Interval:
        """Accuracy that the winner's models lose on unseen images, as a fraction."""
        return self.winner.lost_against(self.dense)

    def sentence(self) -> str:
        """Leak and price over all trainings, and what that makes of the accuracy bound."""
        ratio, drop = self.ratio, self.drop
        bounds = f"{ratio.estimate:.2f}, 95% interval {ratio.low:.2f} to {ratio.high:.2f}"
        judgement = ""
        if self.max_accuracy_drop < 1:  # a run that only compares has no bound
            words = {
                YES: "within the bound",
                NO: "beyond the bound",
                UNDECIDED: "which leaves open whether it keeps the bound",
            }[judged(drop.low, drop.high, self.max_accuracy_drop)]
            most = 100 * self.max_accuracy_drop
            judgement = f", {words} of {most:g} point{'' if most == 1 else 's'}"
        return (
            f"Over {self.winner.models} trainings of each, in pairs: excess gain "
            f"{tables.nats(self.winner.excess.estimate)} instead of "
            f"{tables.nats(self.dense.excess.estimate)} nats, ratio "
            f"{bounds if math.isfinite(ratio.low) else 'unknown'}; accuracy on unseen "
            f"{noun.many()} {in_points(drop)}{judgement}."
        )


def in_points(drop: Interval) -> str:
    """The change of an accuracy in points, named by its direction."""
    low, high = 100 * drop.low, 100 * drop.high
    if drop.estimate < 0:
        return f"{-100 * drop.estimate:.1f} points higher ({-high:.1f} to {-low:.1f})"
    return f"{100 * drop.estimate:.1f} points lower ({low:.1f} to {high:.1f})"


def of_winner(run: RunRecord) -> Pairs | None:
    """The cross-audit of a run's winner; None without one, or without a winner."""
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    if best is None:
        return None
    before = statistics.baseline(run.trials)
    dense = None if before is None else run.crossed.get(before["trial_id"])
    winner = run.crossed.get(best["trial_ids"][0])
    if dense is None or winner is None or not winner.fits(dense):
        return None
    return Pairs(
        winner=winner,
        dense=dense,
        max_accuracy_drop=float(run.config["search"]["max_accuracy_drop"]),
    )


def table(run: RunRecord, rows: pd.DataFrame, best: pd.Series | None) -> tables.Table | None:
    """The cross-audited models of a run beside each other; None without the dense ones.

    rows: those of `statistics.confirmed`.  best: the winner's.
    """
    found = audited(run, rows)
    if DENSE not in found or len(found) == 1:
        return None
    winner = None if best is None else _names(run, rows)[best["trial_ids"][0]]
    return tables.cross_audit(
        found,
        DENSE,
        winner if winner in found else None,
        float(run.config["search"]["max_accuracy_drop"]),
    )


def audited(run: RunRecord, rows: pd.DataFrame) -> Mapping[str, tuple[CrossedModels, float]]:
    """Name -> models and compression, for the kinds that have models of the dense ones' halves."""
    names = _names(run, rows)
    kinds = run.trials[run.trials["trial_id"].isin(run.crossed)].set_index("trial_id")
    found = {}
    for vector, row in kinds.iterrows():
        name = DENSE if row["kind"] == "baseline" else names.get(str(vector))
        if name is not None:
            size = row["compression"]  # null where the first seed failed
            if pd.isna(size):
                size = sum(row["layer_weights"]) / max(sum(row["n"]), 1)
            found[name] = (run.crossed[str(vector)], float(size))
    if DENSE not in found:
        return {}
    dense, _ = found[DENSE]
    return {name: kind for name, kind in found.items() if kind[0].fits(dense)}


def differences(
    run: RunRecord, rows: pd.DataFrame, best: pd.Series | None
) -> dict[str, tuple[Interval, Interval]]:
    """Name -> excess gain (nats) and accuracy lost less the winner's, in pairs, without the winner.

    rows: those of `statistics.confirmed`.  best: the winner's; without one there are none.
    """
    found = audited(run, rows)
    winner = "" if best is None else _names(run, rows)[best["trial_ids"][0]]
    if winner not in found:
        return {}
    ours, _ = found[winner]
    return {
        name: (models.less_than(ours), models.lost_against(ours))
        for name, (models, _) in found.items()
        if name != winner
    }


def exposed(run: RunRecord, count: int = 10) -> dict[str, Exposed]:
    """Whose most exposed images -> those images; empty without a cross-audit."""
    pairs = of_winner(run)
    if pairs is None:
        return {}
    kinds = {"the dense models": pairs.dense, "the winner's models": pairs.winner}
    return {
        whose: most_exposed(models, dense=pairs.dense, winner=pairs.winner, count=count)
        for whose, models in kinds.items()
    }


def _names(run: RunRecord, rows: pd.DataFrame) -> dict[str, str]:
    """Trial id -> the name of its vector, of those that have a finished trial."""
    names = {
        trial_id: name
        for name, trial_ids in zip(tables.vector_names(rows), rows["trial_ids"], strict=True)
        for trial_id in trial_ids
    }
    others = run.trials[run.trials["kind"] == COMPARATOR]
    return names | {
        row["trial_id"]: f"by {row['pruner']}"
        + (", nothing removed" if row["n"] == row["layer_weights"] else "")
        for _, row in others.iterrows()
    }
