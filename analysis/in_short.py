"""A finished run in five sentences for whoever decides, without the field's words.

Whose network, on whose data; what an attacker learns with which means, before and after; how sure
that is; what it costs.  docs/for-data-protection-officers.md explains each of them.
"""

import math

import pandas as pd

from analysis import cross_audit, run_kind, statistics, tables
from analysis.cross_audit import Pairs
from analysis.load import RunRecord
from trainables.defenses.registry import named

FULL = 2 * math.log(2)
"""Nats: what whoever knows who was a member has gained over a guess."""


def in_short(run: RunRecord) -> list[str]:
    """The five sentences; none for a run without a winner whose models were cross-audited.

    A smoke run has none either: its figures mean nothing.
    """
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    dense = statistics.dense(run.trials, run.crossed)
    pairs = cross_audit.of_winner(run)
    if best is None or dense is None or pairs is None or run_kind.is_smoke(run):
        return []
    return [
        _whose(run),
        _outputs_alone(dense, best),
        _with_references(dense, best, pairs),
        _how_sure(pairs),
        _price(run, best, pairs),
    ]


def _whose(run: RunRecord) -> str:
    search, sizes = run.config["search"], run.config["split_sizes"]
    attacked = int(sizes.get("members", 0))
    learnt = attacked + int(sizes.get("common", 0))
    owner = (
        "the network that was given" if search.get("dense") else "a network that the run trained"
    )
    return (
        f"Whose network: {owner}, {search.get('model')}, which learnt from {learnt:,} examples of "
        f"{search.get('dataset')}; for {attacked:,} of them, and for as many that it never saw, "
        "attackers guessed which is which."
    )


def _outputs_alone(dense: pd.Series, best: pd.Series) -> str:
    before, after = (statistics.family_excess(row["attack_gains"]) for row in (dense, best))
    return (
        f"What an attacker learns who only sees the network's answers: {_share(before)} of full "
        f"knowledge before, {_share(after)} after."
    )


def _with_references(dense: pd.Series, best: pd.Series, pairs: Pairs) -> str:
    before, after = pairs.dense.excess.estimate, pairs.winner.excess.estimate
    hits = [tables.percent(row["attack_accuracy"]) for row in (dense, best)]
    return (
        f"What an attacker learns who also trains {pairs.winner.models - 2} networks like it on "
        f"such data: {_share(before)} before, {_share(after)} after; the strongest attack guesses "
        f"right in {hits[0]} and in {hits[1]} of the cases, where a coin does in 50%."
    )


def _share(excess: float) -> str:
    """Of full knowledge, in percent; what lies below zero is nothing."""
    return tables.percent(max(excess, 0.0) / FULL)


def _how_sure(pairs: Pairs) -> str:
    ratio = pairs.ratio
    if not math.isfinite(ratio.low):
        return (
            f"How sure: {pairs.winner.models} trainings of each do not show how much of the leak "
            "remains; stronger attacks than those that were tried may exist."
        )
    return (
        f"How sure: with 95% confidence {tables.percent(max(ratio.low, 0.0), 0)} to "
        f"{tables.percent(ratio.high, 0)} of the leak remain, by {pairs.winner.models} trainings "
        "of each; stronger attacks than those that were tried may exist, and single people may be "
        "exposed far more than the average."
    )


def _price(run: RunRecord, best: pd.Series, pairs: Pairs) -> str:
    defense = named(run.config["search"].get("defense"))
    promise = (
        "no promise beyond these measurements"
        if defense.guarantee is None
        else "a guarantee besides, which the card states"
    )
    return (
        f"What it costs: accuracy on unseen examples is {cross_audit.in_points(pairs.drop)}, "
        f"{tables.size_in_words(best)}; and it comes with {promise}."
    )
