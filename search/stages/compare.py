"""What the search and what its pruner buy: other {n_i}, and other ways to the winner's own."""

import dataclasses

import pandas as pd
from ray import tune

from search.context import Context
from search.space import Candidate
from search.stages.confirm import Confirmation, after_the_rounds, measure
from search.stages.dense import Dense
from search.stages.search import dense_weights
from trainables.pruning.registry import PRUNERS
from trainables.pruning.uniform_erk_lamp import comparators

KEY = "comparators"
"""In config.json: rule -> its {n_i}, so that a reader can name the rows."""


def confirm_comparators(
    context: Context, dense: Dense, confirmation: Confirmation, winner: pd.Series
) -> dict[str, tune.Result]:
    """Confirm every rule's vector with the winner's total, seeds, recipe and own references.

    winner: a row of `statistics.confirmed`.  Returns the results of the new trials by trial id;
    vectors that were confirmed already are not measured twice.
    """
    folder = context.folder
    stored = folder.read_config()
    if KEY not in stored:
        vectors = comparators(dense_weights(context, dense), int(sum(winner["n"])))
        stored = {**stored, KEY: {name: list(n) for name, n in vectors.items()}}
        folder.write_config(stored)
    context.say(f"Comparators: {', '.join(stored[KEY])} with {sum(winner['n']):,} weights too")
    parameters = winner["defense_parameters"]
    candidates = dict.fromkeys(Candidate.of(n, parameters) for n in stored[KEY].values())
    first = after_the_rounds(context.config)
    known = _confirmed_before(context, first)
    chosen = [candidate for candidate in candidates if candidate not in known]
    return measure(confirmation, KEY, first, chosen) if chosen else {}


def measure_other_pruners(context: Context, confirmation: Confirmation, winner: pd.Series) -> None:
    """Make the winner's {n_i} by every other pruner, and, last, by its own with nothing removed.

    Seeds and references as for the winner.  The rows are of kind `comparator`, with the pruner in
    their column `pruner`; they never win, since the run's own trials are all made by one pruner.
    winner: a row of `statistics.confirmed`, after the published allocations were measured.
    """
    own = context.config.pruner
    ours = Candidate.of(winner["n"], winner["defense_parameters"])
    whole = dataclasses.replace(ours, n=tuple(context.inputs.layers.values()))
    ways = {pruner: ours for pruner in PRUNERS if pruner != own}
    others = ", ".join(ways)
    if whole != ours:  # else the winner shows that already
        ways[own] = whole
    context.say(
        f"Comparators: the winner's counts by {others}" + ", and nothing removed" * (own in ways)
    )
    for rank, (pruner, candidate) in enumerate(ways.items()):
        measure(confirmation.by(pruner), f"by-{pruner}", rank, [candidate])


def _confirmed_before(context: Context, first_number: int) -> set[Candidate]:
    """Candidates of the confirmation proper, whose trials have lower numbers."""
    return {
        Candidate.of(row["n"], row["defense_parameters"])
        for row in context.ledger.rows()
        if row["kind"] == "confirm" and row["number"] < first_number
    }
