"""What came out of a run in words: the report's headline, the terminal's last lines, a card."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from analysis import audited, statistics, tables
from analysis.load import Run


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A run's outcome in one sentence and the figures behind it."""

    tone: Literal["good", "warn", "bad"]
    title: str
    text: str


def headline(run: Run) -> str:
    """The outcome for a terminal: the verdict, then dense and winner side by side."""
    found = verdict(run)
    lines = [found.title, found.text]
    table = _main_figures(run)
    return "\n".join(lines if table is None else [*lines, tables.as_text(table)])


def card(run: Run) -> str:
    """Markdown that travels with the winner's weights; `{trial_id}` is left for their trial's name.

    Raises ValueError when the run has no winner.
    """
    best = statistics.winner(run.trials, run.config)
    table = _main_figures(run)
    if best is None or table is None:
        raise ValueError("a run without a winner has no card")
    found, search = verdict(run), run.config["search"]
    pruned = best["nonzero"] < sum(best["layer_weights"])
    return "\n\n".join(
        [
            f"# {search.get('model')} on {search.get('dataset')} that leaks less about its members",
            f"**{found.title}.** {found.text}",
            tables.as_markdown(table),
            "Intervals are 95%. The figures are means over fresh seeds; the largest of a family of "
            "attacks is flattered by the choice, the strongest attack's is not. The weights beside "
            f"this card are those of trial {{trial_id}}, the median seed, of "
            f"{run.config['run_id']}.",
            f"Made by: {made_by(run.config, best)}.",
            *([tables.as_markdown(tables.layer_counts(best))] if pruned else []),
            _limits(search.get("defense"), best),
            f"Reproduce with:\n\n```\n{run.config.get('command', 'not recorded')}\n```\n",
        ]
    )


def defense_in_words(search: Mapping[str, Any]) -> str:
    """The defence of a run's settings, with the pruner where it prunes."""
    name = str(search.get("defense", "pruning"))
    return f"{name} by {search.get('pruner', 'admm')}" if "pruning" in name else name


def made_by(config: Mapping[str, Any], best: pd.Series) -> str:
    """The winner's defence in words: its name, its numbers, and what it spent.

    config: config.json.  best: a row of `statistics.confirmed`.
    """
    name = defense_in_words(config["search"])
    asked, spent = best["defense_parameters"], best["defense_spent"]
    parts = [
        f"{number} {value:.4g}" + (f", spent {spent[number]:.4g}" if number in spent else "")
        for number, value in asked.items()
    ]
    parts += [f"{number} {value:.4g}" for number, value in spent.items() if number not in asked]
    return f"{name} ({', '.join(parts)})" if parts else name


def _limits(defense: str | None, best: pd.Series) -> str:
    guarantee = "They prove no privacy and give no differential-privacy guarantee"
    if defense == "dp":
        spent = best["defense_spent"]
        guarantee = (
            f"The guarantee is that of one training, epsilon {spent.get('epsilon', math.nan):.3g} "
            f"at delta {spent.get('delta', math.nan):.1g}, by a pseudorandom generator; the search "
            "looked at the members too, which is not counted in it"
        )
    lines = [
        "## Limits",
        "",
        f"- The figures hold for the attacks that were run, on these images. {guarantee}; unusual "
        "training images can leak much more than the mean.",
        "- **Do not release the dense network together with this one**: who has both learns more.",
    ]
    if defense in _BEHIND_OUTPUTS:
        lines.append(f"- {_BEHIND_OUTPUTS[defense]}")
    if best["nonzero"] < sum(best["layer_weights"]):
        lines.append(
            "- Pruned weights are stored as zeros: they save size, not time on ordinary hardware."
        )
    return "\n".join(lines)


_BEHIND_OUTPUTS = {
    "memguard": "MemGuard protects outputs, not weights: the weights beside this card are those of "
    "the undefended network and must stay behind a service that changes what it answers.",
}
"""Defences whose weights alone are not the defended model."""


def _main_figures(run: Run) -> tables.Table | None:
    dense = statistics.baseline(run.trials)
    best = statistics.winner(run.trials, run.config)
    if dense is None or best is None:
        return None
    table = tables.dense_and_winner(dense, best, run.config["split_sizes"])
    wanted = ("test accuracy", "excess gain", "largest", "attack accuracy", "compression")
    rows = [row for row in table.rows if row[0].startswith(wanted)]
    return dataclasses.replace(table, rows=rows)


def verdict(run: Run) -> Verdict:
    """What came out of a run, claiming no more than the intervals allow."""
    dense = statistics.baseline(run.trials)
    best = statistics.winner(run.trials, run.config)
    if best is not None and dense is not None:
        seeds = run.config["search"].get("confirm_seeds", best["seeds"])
        return _with_audit(run, _winning(dense, best, seeds))
    rows = statistics.searched(run.trials)
    hardest = statistics.hardest_bound(run.trials)
    bound = f" The bound hardest to meet: {hardest}." if hardest else ""
    if (run.trials["kind"] == "confirm").any() and dense is not None:
        return _nothing_confirmed(run, bound)
    best_value = statistics.best_so_far(run.trials)["best"].min()
    if math.isfinite(best_value):
        return Verdict(
            tone="warn",
            title="Not confirmed yet",
            text=f"The run ended before its best trials were measured again. The {len(rows)} "
            f"trials so far reach an excess gain of {tables.nats(best_value)} nats, which is "
            "likely too good (the best of many noisy trials). Resume the run to confirm it.",
        )
    if rows.empty:
        return Verdict(
            tone="warn",
            title="No trial has finished yet",
            text="Resume the run, or wait for its first trial.",
        )
    return Verdict(
        tone="bad",
        title=f"No feasible winner among {len(rows)} trials",
        text=f"No trial met every bound.{bound}{_closest(run)} Allow a larger accuracy drop, "
        "ask for less compression or run more trials.",
    )


def _nothing_confirmed(run: Run, bound: str) -> Verdict:
    """Of a run that measured candidates again and found none within its bounds."""
    rows = statistics.searched(run.trials)
    if rows["feasible"].eq(True).any():
        return Verdict(
            tone="bad",
            title="No feasible winner: no vector held its bounds on fresh seeds",
            text="Vectors that looked feasible in the search missed a bound, or lost a seed, "
            f"when they were trained again.{bound}{_nearest(run)} Allow a larger accuracy drop or "
            "more trials.",
        )
    return Verdict(
        tone="bad",
        title=f"No feasible winner among {len(rows)} trials",
        text=f"No trial met every bound.{bound}{_closest(run)}{_nearest(run)} Allow a larger "
        "accuracy drop, ask for less compression or run more trials.",
    )


def _nearest(run: Run) -> str:
    """What the most accurate candidate reaches on fresh seeds, for it is no winner."""
    rows = statistics.confirmed(run.trials, run.config)
    if rows.empty:
        return ""
    best = rows.sort_values("val_accuracy", ascending=False, kind="stable").iloc[0]
    return (
        " Measured again, the candidate nearest in accuracy, bound not met, has excess gain "
        f"{tables.nats(best['excess_gain'])} nats at {tables.percent(best['test_accuracy'])} test "
        "accuracy."
    )


def _closest(run: Run) -> str:
    rows = statistics.searched(run.trials)
    reached = rows["val_accuracy"].astype(float).max()
    needed = statistics.accuracy_bound(run.trials, run.config)
    if not reached < needed:  # met by some trial, or unknown
        return ""
    return (
        f" Best validation accuracy reached {tables.percent(reached)}, needed "
        f"{tables.percent(needed)}."
    )


def _with_audit(run: Run, found: Verdict) -> Verdict:
    """The verdict with the audit's sentence; no good news where the audit refutes it."""
    audit = audited.of(run)
    if audit is None:
        return found
    title, tone = found.title, found.tone
    if audit.refutes:
        title = f"{title}, but the audit does not bear it out"
        tone = "bad" if audit.found == audited.MORE or tone == "bad" else "warn"
    return dataclasses.replace(
        found, title=title, tone=tone, text=f"{found.text} {audit.sentence()}"
    )


def _winning(dense: pd.Series, best: pd.Series, seeds_asked: int) -> Verdict:
    quotient = statistics.ratio(statistics.excess_interval(best), statistics.excess_interval(dense))
    points = 100 * (float(best["test_accuracy"]) - float(dense["test_accuracy"]))
    cost = (
        f"at {abs(points):.1f} points {'lower' if points < 0 else 'higher'} test accuracy"
        if math.isfinite(points) and abs(points) >= 0.05
        else "at the same test accuracy"
    )
    size = "with all its weights"
    if best["compression"] > 1:
        size = f"with {best['compression']:.1f} times fewer weights"
    figures_text = (
        f"Excess gain {tables.nats(best['excess_gain'])} instead of "
        f"{tables.nats(dense['excess_gain'])} nats under the strongest attack on each; ratio "
        f"{quotient.estimate:.2f}, 95% interval {quotient.low:.2f} to {quotient.high:.2f}; "
        f"{best['seeds']} fresh seed{'s' if best['seeds'] != 1 else ''}."
    )
    if best["seeds"] < seeds_asked:
        figures_text += f" Only {best['seeds']} of {seeds_asked} seeds so far: resume the run."
    if not math.isfinite(quotient.low):
        return Verdict(
            tone="warn",
            title="The dense network does not measurably leak, so there is nothing to reduce",
            text=f"Its excess gain cannot be told from zero. The winner has "
            f"{tables.nats(best['excess_gain'])} nats, {cost}, {size}.",
        )
    if best["excess_gain_low"] <= 0:
        figures_text += " The winner's own excess gain cannot be told from zero."
    if quotient.high < 1:
        leaks = "shows no leak to these attacks"
        if quotient.estimate > 0:
            leaks = f"leaks {1 / quotient.estimate:.1f} times less"
        title = f"The winner {leaks}, {cost}, {size}"
        return Verdict(tone="good", title=title, text=figures_text)
    if quotient.low > 1:
        title = f"The least leaky feasible network leaks {quotient.estimate:.1f} times more"
        return Verdict(tone="bad", title=f"{title}, {cost}, {size}", text=figures_text)
    return Verdict(
        tone="warn",
        title=f"No measurable difference in leakage, {cost}, {size}",
        text=f"{figures_text} The interval includes 1: more images or seeds would be needed.",
    )
