"""What the search buys: the published allocations at the winner's total count, measured alike."""

import pandas as pd
from ray import tune

from search.confirm import MAX_ROUNDS, Confirmation, measure
from search.context import Context
from search.dense import Dense
from search.searching import dense_weights
from search.space import Candidate
from trainables.pruning.allocation import comparators

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
    first = MAX_ROUNDS * context.config.confirm_top
    known = _confirmed_before(context, first * context.config.confirm_seeds)
    chosen = [candidate for candidate in candidates if candidate not in known]
    return measure(confirmation, KEY, first, chosen) if chosen else {}


def _confirmed_before(context: Context, first_number: int) -> set[Candidate]:
    """Candidates of the confirmation proper, whose trials have lower numbers."""
    return {
        Candidate.of(row["n"], row["defense_parameters"])
        for row in context.ledger.rows()
        if row["kind"] == "confirm" and row["number"] < first_number
    }
