"""Measured models of several runs, to be set side by side."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.load import RunRecord, run_name
from analysis.run_kind import PAPERS_PRESETS, preset, system_of, task_of, unlike
from analysis.statistics import LOG4, Interval, difference
from analysis.statistics.crossed_models import CrossedModels
from trainables.defenses.registry import named

PART_OF = {"val_accuracy": "validation", "test_accuracy": "test"}
"""Column -> the part whose images the models of a cross-audit were also asked about."""

NEAREST = "nearest to its bounds, not met"
"""How a page marks a candidate that was measured although its run has no winner."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The dense network, or one candidate, over all its models."""

    run: RunRecord
    name: str
    """The run's name, unique on the page."""

    defense: str
    confirmed: bool
    """Whether it was confirmed; otherwise it is the dense network."""

    feasible: bool = True
    """Whether it meets the run's bounds; a network without a defence has none to meet."""

    rows: pd.DataFrame
    """(seeds,) complete rows of trials.parquet."""

    @property
    def models(self) -> CrossedModels | None:
        """What the cross-audit found; None in runs of older releases."""
        return self.run.crossed.get(str(self.rows.iloc[0]["trial_id"]))

    @property
    def seeds(self) -> int:
        """The number of trainings behind the figures."""
        return len(self.rows) if self.models is None else self.models.models

    @property
    def source(self) -> str:
        """Where the figures come from, in words."""
        if self.confirmed:
            seeds = f"{self.seeds} fresh seed{'s' * (self.seeds != 1)}"
            return ", ".join([seeds, *([] if self.feasible else [NEAREST]), *self.caveats])
        trainings = "one training" if self.seeds == 1 else f"{self.seeds} trainings"
        return ", ".join([f"dense model, {trainings}", *self.caveats])

    @property
    def caveats(self) -> list[str]:
        """Why the figures must not stand for the defence; empty for an ordinary run."""
        reason = unlike(self.run)
        return [] if reason is None else [reason]

    def share(self, column: str) -> Interval:
        """A column that is a share of images, over the seeds."""
        if self.models is not None and column in PART_OF:
            return self.models.accuracy(PART_OF[column])
        images = statistics.images_behind(column, self.run.config["split_sizes"])
        return statistics.accuracy_over_seeds(self._values(column), images)

    def excess(self) -> Interval:
        """Excess gain under the strongest attack, or in the cross-audit, nats."""
        if self.models is not None:
            return self.models.excess
        return statistics.mean_over_seeds(
            self._values("excess_gain"), self._values("attack_gain_se")
        )

    def family(self) -> Interval:
        """Excess gain under the attacks that need no references, nats."""
        return self._gain(statistics.family_excess)

    def attack(self, name: str) -> Interval | None:
        """Excess gain under one attack; None where it was not run on every seed."""
        if not all(name in gains for gains in self._gains()):
            return None
        return self._gain(lambda gains: gains[name] + LOG4)

    def attacks(self) -> list[str]:
        """Names of the attacks that were run."""
        return list(dict.fromkeys(name for gains in self._gains() for name in gains))

    def mean(self, column: str) -> float:
        """Mean of a column over the seeds."""
        if self.models is not None and column in PART_OF:
            return self.models.accuracy(PART_OF[column]).estimate
        return float(np.mean(self._values(column)))

    def drop(self) -> Interval | None:
        """Test accuracy of the run's dense network minus this one's; None where one is unknown.

        It is of pairs on common halves where both were cross-audited. Else both were tested on the
        same images all the same, so that the true interval is narrower.
        """
        before = dense(self.run, self.name)
        if before is not None and before.models is not None and self.models is not None:
            return self.models.drop_from(before.models, "test")
        if before is None or not all(
            math.isfinite(one.mean("test_accuracy")) for one in (before, self)
        ):
            return None
        return difference(before.share("test_accuracy"), self.share("test_accuracy"))

    def number(self, name: str) -> float | None:
        """A number of the defence: what it spent where recorded, else what was asked for."""
        spent = self.spent(name)
        return self._number("defense_parameters", name) if spent is None else spent

    def spent(self, name: str) -> float | None:
        """What the defence really spent of a number, mean over the seeds; None if not recorded."""
        return self._number("defense_spent", name)

    def _number(self, column: str, name: str) -> float | None:
        values = [cell.get(name) for cell in self.rows[column] if isinstance(cell, Mapping)]
        known = [float(value) for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def _values(self, column: str) -> list[float]:
        return self.rows[column].astype(float).tolist()

    def _gains(self) -> list[dict[str, float]]:
        return [dict(cell) for cell in self.rows["attack_gains"] if isinstance(cell, Mapping)]

    def _gain(self, excess: Callable[[dict[str, float]], float]) -> Interval:
        """The images' error is that of the strongest attack: no other is recorded."""
        values = [excess(gains) for gains in self._gains()]
        return statistics.mean_over_seeds(values, self._values("attack_gain_se"))


def dense(run: RunRecord, name: str) -> Measured | None:
    """The dense network of a run; None while it has not been measured."""
    rows = run.trials[(run.trials["kind"] == "baseline") & (run.trials["state"] == "COMPLETE")]
    if rows.empty:
        return None
    return Measured(run=run, name=name, defense="none", confirmed=False, rows=rows.iloc[:1])


def defended(run: RunRecord, name: str) -> Measured | None:
    """The winner of a run over its fresh seeds; None when nothing was confirmed.

    Without a feasible candidate it is the one that comes nearest to the bounds. A run
    without a defence has nothing to choose and no bound to meet: it is its network, trained anew.
    """
    defense = system_of(run)
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    chosen = statistics.nearest(run.trials, run.config, run.crossed) if best is None else best
    if chosen is None:
        return None
    return Measured(
        run=run,
        name=name,
        defense=defense,
        confirmed=True,
        feasible=named(defense).is_bare or best is not None,
        rows=run.trials[run.trials["trial_id"].isin(chosen["trial_ids"])],
    )


def measured_as(
    runs: Sequence[RunRecord], task: tuple[str, str], system: str, epsilon: float | None = None
) -> list[Measured]:
    """Everything that fits one cell, best first.

    system: a value of `system_of`, so that the paper's columns hold what ADMM pruned. A baseline
    from fresh seeds goes before dense models; a winner goes before a candidate that misses its
    bound; DP at the nearest epsilon goes before others; then comes a run of a preset of the paper's
    rows, whose bounds are the paper's; then the run that was allowed to lose the least accuracy;
    then the most seeds; then the newest run.
    """
    found: list[Measured] = []
    for run in runs:
        if task_of(run) != task:
            continue
        name = run_name(run, runs)
        options = [defended(run, name)] if system_of(run) == system else []
        if named(system).is_bare:
            options.append(dense(run, name))
        found += [option for option in options if option is not None]
    newest_first = sorted(
        found, key=lambda one: str(one.run.config.get("created_at") or ""), reverse=True
    )
    return sorted(
        newest_first,
        key=lambda one: (
            not one.confirmed,
            not one.feasible,
            _distance(one, epsilon),
            not preset(one.run).startswith(PAPERS_PRESETS),
            float(one.run.config["search"]["max_accuracy_drop"]),
            -one.seeds,
        ),
    )


def _distance(measured: Measured, epsilon: float | None) -> float:
    spent = measured.number("epsilon")
    if epsilon is None or spent is None or spent <= 0:
        return 0.0
    return round(abs(math.log(spent / epsilon)), 2)
