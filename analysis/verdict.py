"""A run's outcome in one sentence, which claims no more than its figures and intervals allow."""

import dataclasses
import math
from typing import Literal

import pandas as pd

from analysis import cross_audit, failures, run_kind, shadow_audit, statistics, tables
from analysis.load import RunRecord
from analysis.statistics import Interval
from trainables.base import noun
from trainables.base.commandline import resume
from trainables.outcome.feasible import UNDECIDED

MEASURABLE = 0.01
"""The least leak that counts, in nats: a dense network whose excess gain is surely below it does
not measurably leak. This is 0.7% of the full leak, log 4, and a tenth of what LeNet-5 loses on the
1,000 members of mnist5k."""

WIDEST = 0.10
"""The widest 95% interval of a test accuracy, as a fraction, at which a leak is judged: beyond
it too little is known about the network that was measured."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A run's outcome in one sentence and the figures behind it."""

    tone: Literal["good", "warn", "bad"]
    title: str
    text: str


def verdict(run: RunRecord) -> Verdict:
    """The verdict on a run; a smoke run is called one, whatever its outcome."""
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    found = _outcome(run, best)
    broken = failures.deciding(run.trials, has_winner=best is not None)
    if broken is not None:
        found = _broken(broken, found, best)
    ran_through = best is not None and broken is None
    return _of_smoke_run(found, ran_through) if run_kind.is_smoke(run) else found


def _of_smoke_run(found: Verdict, ran_through: bool) -> Verdict:
    meaningless = "Smoke run, figures without meaning"
    if not ran_through:
        title = f"{meaningless}: {found.title[0].lower()}{found.title[1:]}"
        return dataclasses.replace(found, title=title)
    return Verdict(
        tone="warn",
        title=f"{meaningless}: every step completed",
        text="A run this short shows that the program works here, and nothing else: no figure "
        "below says how much a network leaks, how accurate it is or what pruning costs.",
    )


def _broken(broken: failures.Failures, found: Verdict, best: pd.Series | None) -> Verdict:
    """The verdict where most trials failed: that comes first, since wider bounds would not help."""
    because = broken.because()
    text = f"{because[0].upper()}{because[1:]}{broken.others()}"
    if best is not None:
        text = f"{text} What the rest found: {found.title}. {found.text}"
    return Verdict(tone="bad", title=broken.title(), text=text)


def _outcome(run: RunRecord, best: pd.Series | None) -> Verdict:
    dense = statistics.dense(run.trials, run.crossed)
    asked = run.config["search"].get("more_models") or []
    if len({*asked[-1:], *(found.models for found in run.crossed.values())}) > 1:
        return Verdict(
            tone="warn",
            title="Models are being added",
            text="Not every vector has all its models yet, so nothing can be compared. To go on: "
            f"{resume(run.path)}",
        )
    if best is not None and dense is not None:
        return _with_audit(run, _winning(run, dense, best))
    rows = statistics.search_trials(run.trials)
    if (run.trials["kind"] == "confirm").any() and dense is not None:
        return _nothing_confirmed(run)
    best_value = statistics.best_so_far(run.trials)["best"].min()
    if math.isfinite(best_value):
        return Verdict(
            tone="warn",
            title="Not confirmed yet",
            text=f"The run ended before its best trials were measured again. The {len(rows)} "
            f"trials so far reach an excess gain of {tables.nats(best_value)} nats, which is "
            "likely too good (the best of many noisy trials). To confirm it: "
            f"{resume(run.path)}",
        )
    if rows.empty:
        return Verdict(
            tone="warn",
            title="No trial has finished yet",
            text=f"Wait for its first trial, or go on with: {resume(run.path)}",
        )
    return _infeasible(run, "")


def _infeasible(run: RunRecord, nearest: str) -> Verdict:
    """The verdict on a run in which every searched trial failed or missed a bound."""
    rows = statistics.search_trials(run.trials)
    failed = failures.of(rows)
    met = "No trial met every bound" if failed.missed else "No trial was feasible"
    return Verdict(
        tone="bad",
        title=f"No feasible winner among {len(rows)} trials",
        text=" ".join(
            [
                f"{met}.{_hardest(run)}{_closest(run)}{nearest}",
                *([failed.sentence()] if failed.failed else []),
                *([ADVICE] if failed.missed else []),
            ]
        ),
    )


ADVICE = "Allow a larger accuracy drop, ask for less compression or run more trials."
"""Advice for runs whose trials missed a bound; it would not help where trials failed."""


def _nothing_confirmed(run: RunRecord) -> Verdict:
    """The verdict on a run whose candidates, measured again, all missed a bound."""
    if not statistics.search_trials(run.trials)["feasible"].eq(True).any():
        return _infeasible(run, _nearest(run))
    failed = failures.of(run.trials[run.trials["kind"] == "confirm"], "confirming trials")
    return Verdict(
        tone="bad",
        title="No feasible winner: no vector met its bounds on fresh seeds",
        text=" ".join(
            [
                "Vectors that looked feasible in the search missed a bound, or a seed failed, "
                f"when they were trained again.{_hardest(run)}{_nearest(run)}",
                *([failed.sentence()] if failed.failed else []),
                *(["Allow a larger accuracy drop or more trials."] if failed.missed else []),
            ]
        ),
    )


def _hardest(run: RunRecord) -> str:
    hardest = statistics.hardest_bound(run.trials)
    return f" The bound hardest to meet: {hardest}." if hardest else ""


def _nearest(run: RunRecord) -> str:
    """What the candidate nearest to the bounds reaches on fresh seeds, although it did not win."""
    best = statistics.nearest(run.trials, run.config, run.crossed)
    if best is None:
        return ""
    return (
        " Measured again, the candidate that came nearest to the bounds has excess gain "
        f"{tables.nats(best['excess_gain'])} nats at {tables.percent(best['test_accuracy'])} test "
        "accuracy; it did not meet them."
    )


def _closest(run: RunRecord) -> str:
    rows = statistics.search_trials(run.trials)
    reached = rows["val_accuracy"].astype(float).max()
    needed = statistics.accuracy_bound(run.trials, run.config)
    if not reached < needed:  # met by some trial, or unknown
        return ""
    return (
        f" The best validation accuracy is {tables.percent(reached)}; "
        f"{tables.percent(needed)} is needed."
    )


def _with_audit(run: RunRecord, found: Verdict) -> Verdict:
    """The verdict with the audit's sentence; it is not good news where the audit refutes it."""
    audit = shadow_audit.of(run)
    if audit is None:
        return found
    title, tone = found.title, found.tone
    if audit.refutes and tone != "warn":  # there is a claim to refute
        title = f"{title}, but the audit does not bear it out"
        tone = "bad" if audit.found == shadow_audit.MORE or tone == "bad" else "warn"
    return dataclasses.replace(
        found, title=title, tone=tone, text=f"{found.text} {audit.sentence()}"
    )


# --- a winner beside the dense network ------------------------------------------------------------


def _winning(run: RunRecord, dense: pd.Series, best: pd.Series) -> Verdict:
    price = f"{_cost(dense, best)}, {tables.size_in_words(best)}"
    unknown = hardly_known(best, run.config.get("chance_accuracy"))
    if unknown is not None:
        return Verdict(
            tone="warn",
            title=f"Too few {noun.many()} or models to say whether the winner leaks less",
            text=f"{unknown} {_figures(run, dense, best)}",
        )
    leak = statistics.excess_interval(dense)
    if not leak.low > 0:
        return _nothing_seen(run, leak, f"The winner has {_estimate(best)}, {price}.")
    pairs = cross_audit.of_winner(run)
    if pairs is None:
        quotient = statistics.ratio(
            statistics.excess_interval(best), statistics.excess_interval(dense)
        )
        return _compared(quotient, best, price, _figures(run, dense, best))
    return _compared(pairs.ratio, best, price, f"{pairs.sentence()}{_to_decide(run, best)}")


def _to_decide(run: RunRecord, best: pd.Series) -> str:
    """What would settle whether the winner keeps the accuracy bound; nothing where that is sure."""
    if best["kept"] != UNDECIDED:
        return ""
    models = 2 * best["seeds"]
    search = run.config["search"]
    if search.get("comparators") or search.get("audit", "none") != "none":
        return f" A run with --models {models} would say more."
    return f" More models may decide it ({resume(run.path)} --models {models})."


def _compared(quotient: Interval, best: pd.Series, price: str, figures: str) -> Verdict:
    """The winner against a dense network that leaks.

    quotient: the winner's excess gain over the dense network's.
    """
    if best["excess_gain_low"] <= 0:
        figures += " The winner's own excess gain is not distinguishable from zero."
    if quotient.high < 1:
        leaks = "shows no leak to these attacks"
        if quotient.estimate > 0:
            leaks = f"leaks {1 / quotient.estimate:.1f} times less"
        return Verdict(tone="good", title=f"The winner {leaks}, {price}", text=figures)
    if quotient.low > 1:
        title = f"The least leaky feasible network leaks {quotient.estimate:.1f} times more"
        return Verdict(tone="bad", title=f"{title}, {price}", text=figures)
    return Verdict(
        tone="warn",
        title=f"No measurable difference in leakage, {price}",
        text=f"{figures} The interval includes 1: more {noun.many()} or models would be needed.",
    )


def _cost(dense: pd.Series, best: pd.Series) -> str:
    points = 100 * (float(best["test_accuracy"]) - float(dense["test_accuracy"]))
    if math.isfinite(points) and abs(points) >= 0.05:
        return f"at {abs(points):.1f} points {'lower' if points < 0 else 'higher'} test accuracy"
    return "at the same test accuracy"


def _figures(run: RunRecord, dense: pd.Series, best: pd.Series) -> str:
    quotient = statistics.ratio(statistics.excess_interval(best), statistics.excess_interval(dense))
    bounds = f"{quotient.estimate:.2f}, 95% interval {quotient.low:.2f} to {quotient.high:.2f}"
    seeds, asked = best["seeds"], run.config["search"].get("confirm_seeds", best["seeds"])
    said = (
        f"Excess gain {tables.nats(best['excess_gain'])} instead of "
        f"{tables.nats(dense['excess_gain'])} nats under the strongest attack on each; ratio "
        f"{bounds if math.isfinite(quotient.low) else 'unknown'}; "
        f"{seeds} fresh seed{'s' if seeds != 1 else ''}."
    )
    if seeds < asked:
        said += f" Only {seeds} of {asked} seeds so far: {resume(run.path)}"
    return said


def _estimate(best: pd.Series) -> str:
    return f"excess gain {tables.nats(best['excess_gain'])} nats"


def hardly_known(best: pd.Series, chance: float | None) -> str | None:
    """Why a winner's accuracy says too little for any claim about it; None where it says enough.

    best: a row of `statistics.confirmed`.  chance: accuracy of always guessing the commonest class;
    None where it was not recorded.
    """
    value, low, high = (float(best[f"test_accuracy{end}"]) for end in ("", "_low", "_high"))
    interval = f"{tables.percent(value)} ({tables.between(low, high, 'percent')})"
    if high - low > WIDEST:
        return (
            f"The winner's test accuracy is known no better than {interval}: the interval is wider "
            f"than {100 * WIDEST:.0f} points."
        )
    if chance is not None and low <= chance:
        return (
            f"The winner's test accuracy, {interval}, is not distinguishable from the "
            f"{tables.percent(chance)} of always guessing the commonest class."
        )
    return None


def _nothing_seen(run: RunRecord, leak: Interval, rest: str) -> Verdict:
    """The verdict where the dense network's excess gain is not distinguishable from zero."""
    weak = weaknesses(run, leak)
    if weak:
        figures = f"{tables.nats(leak.estimate)} ({tables.between(leak.low, leak.high)})"
        return Verdict(
            tone="warn",
            title="The audit cannot tell whether the dense network leaks: excess gain "
            f"{figures} nats",
            text=f"A leak might go unseen: {'; '.join(weak)}. {rest}",
        )
    return Verdict(
        tone="warn",
        title="The dense network does not measurably leak: its excess gain is below "
        f"{MEASURABLE:g} nats, so there is nothing to reduce",
        text="The 95% interval of its excess gain, matched references included, is "
        f"{tables.between(leak.low, leak.high)} nats. {rest}",
    )


def weaknesses(run: RunRecord, leak: Interval) -> list[str]:
    """Why attacks that found nothing do not prove that there is no leak, in words.

    leak: the dense network's excess gain.  Empty where a leak of MEASURABLE nats would have shown.
    """
    sizes = run.config["split_sizes"]
    members, others = (int(sizes.get(part, 0)) for part in ("members", "non_members"))
    least = statistics.least_visible(members, others)
    audit = shadow_audit.of(run)
    shadows = math.nan if audit is None else audit.dense.high
    found = {
        f"its interval reaches {tables.nats(leak.high)} nats, and {MEASURABLE:g} matters": not (
            leak.high < MEASURABLE
        ),
        f"the audit with shadow models does not rule out a leak of {tables.nats(shadows)} nats": (
            shadows >= MEASURABLE
        ),
        "every attack did worse than a constant guess": leak.high < 0,
        "matched references were off": not run_kind.references(run),
        f"{members:,} members and {others:,} non-members cannot show a leak "
        f"below {tables.nats(least)} nats": least > MEASURABLE,
    }
    return [reason for reason, holds in found.items() if holds]
