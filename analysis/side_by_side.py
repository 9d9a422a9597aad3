"""What one run says about its defence and its dense network, ready to stand beside others."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.load import RunRecord, run_name
from analysis.statistics import LOG4, Interval, difference
from trainables.defenses.registry import named

NEAREST = "nearest to its bounds, not met"
"""How a page marks a candidate that was measured although its run has no winner."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One model, or one candidate over its fresh seeds."""

    run: RunRecord
    name: str
    """The run's name, unique on the page."""

    defense: str
    confirmed: bool
    """Whether it was trained on fresh seeds; otherwise it is the dense network, trained once."""

    feasible: bool = True
    """Whether it meets the run's bounds; a network without a defence has none to meet."""

    rows: pd.DataFrame
    """(seeds,) complete rows of trials.parquet."""

    @property
    def seeds(self) -> int:
        """The number of trainings behind the figures."""
        return len(self.rows)

    @property
    def source(self) -> str:
        """Where the figures come from, in words."""
        if self.confirmed:
            seeds = f"{self.seeds} fresh seed{'s' * (self.seeds != 1)}"
            return ", ".join([seeds, *([] if self.feasible else [NEAREST]), *self.caveats])
        return ", ".join(["dense model, one training", *self.caveats])

    @property
    def caveats(self) -> list[str]:
        """Why the figures must not stand for the defence; empty for an ordinary run."""
        reason = unlike(self.run)
        return [] if reason is None else [reason]

    def share(self, column: str) -> Interval:
        """A column that is a share of images, over the seeds."""
        images = statistics.images_behind(column, self.run.config["split_sizes"])
        return statistics.accuracy_over_seeds(self._values(column), images)

    def excess(self) -> Interval:
        """Excess gain under the strongest attack on each seed, nats."""
        return statistics.mean_over_seeds(
            self._values("excess_gain"), self._values("attack_gain_se")
        )

    def family(self) -> Interval:
        """Excess gain under the search-time attacks, nats."""
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
        return float(np.mean(self._values(column)))

    def drop(self) -> Interval | None:
        """Test accuracy of the run's dense network minus this one's; None where one is unknown.

        Both were tested on the same images, so the true interval is narrower.
        """
        before = dense(self.run, self.name)
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
    best = statistics.winner(run.trials, run.config)
    chosen = statistics.nearest(run.trials, run.config) if best is None else best
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


def defense_of(run: RunRecord) -> str:
    """The run's defence; runs that record none are older than the choice, and pruned."""
    return str(run.config["search"].get("defense", "pruning"))


PAPERS_PRUNER = "admm"


def pruner_of(run: RunRecord) -> str | None:
    """How the run pruned; None where its defence does not prune."""
    if not named(defense_of(run)).prunes:
        return None
    return str(run.config["search"].get("pruner", PAPERS_PRUNER))


def system_of(run: RunRecord) -> str:
    """The defence, with the pruner where it is not the paper's ADMM: it groups runs of a kind."""
    pruner = pruner_of(run)
    return defense_of(run) + ("" if pruner in (None, PAPERS_PRUNER) else f" by {pruner}")


def task_of(run: RunRecord) -> tuple[str, str]:
    """Data set and network."""
    search = run.config["search"]
    return str(search.get("dataset", "")), str(search.get("model", ""))


SMOKE = "smoke run, figures without meaning"


def unlike(run: RunRecord) -> str | None:
    """Why a run must not stand beside ordinary ones; None for an ordinary one."""
    if is_smoke(run):
        return SMOKE
    canaries = run.config["search"].get("canaries") or 0
    return f"{canaries:.0%} of its labels are wrong on purpose (--canaries)" if canaries else None


def is_smoke(run: RunRecord) -> bool:
    """Whether a run only showed that the program works, by its preset's name or its budgets.

    A single epoch of each phase is such a budget.
    """
    search, preset = run.config["search"], _preset(run)
    budgets = [
        part.get(name) if isinstance(part := search.get(phase), Mapping) else None
        for phase, name in (("training", "epochs"), ("admm", "retrain_epochs"))
    ]
    return preset == "smoke" or preset.endswith("-smoke") or budgets == [1, 1]


PAPERS_PRESETS = "paper-"


def _preset(run: RunRecord) -> str:
    options = run.config.get("options")
    return str(options.get("preset")) if isinstance(options, Mapping) else ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The runs that a page is made of."""

    runs: Sequence[RunRecord]
    left_out: Sequence[str]
    """One line for each unusual run that is not shown."""

    caveats: Sequence[str]
    """One line for each unusual run that is shown because there is no ordinary one."""


def ordinary(runs: Sequence[RunRecord]) -> Chosen:
    """Ordinary runs only; where there is none, all of them, with what is wrong with each."""
    reasons = {id(run): unlike(run) for run in runs}
    kept = [run for run in runs if reasons[id(run)] is None]
    lines = [
        f"{run_name(run, runs)}: {reasons[id(run)]}" for run in runs if reasons[id(run)] is not None
    ]
    if kept:
        return Chosen(runs=kept, left_out=lines, caveats=[])
    return Chosen(runs=runs, left_out=[], caveats=lines)


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
            not _preset(one.run).startswith(PAPERS_PRESETS),
            float(one.run.config["search"]["max_accuracy_drop"]),
            -one.seeds,
        ),
    )


def _distance(measured: Measured, epsilon: float | None) -> float:
    spent = measured.number("epsilon")
    if epsilon is None or spent is None or spent <= 0:
        return 0.0
    return round(abs(math.log(spent / epsilon)), 2)
