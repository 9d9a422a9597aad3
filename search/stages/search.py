"""The search stage: Optuna suggests {n_i}, Ray Tune prunes and attacks, the ledger remembers.

A trial is one model, and is attacked with the dense models of the other halves as references, which
are there already.  They say how hard each image is, and that makes the gain of one model rank
vectors as many models of them do: over 24 vectors of LeNet-5 on mnist5k Spearman's correlation with
the cross-audited gain of 4 models on other halves was 0.91 for `adaptive` and 0.89 for `reference`,
0.81 for boosted trees and `samia`, 0.73 for the logistic attack, and -0.60 for the neural f_A.
"""

import dataclasses
import itertools
from typing import Any

import torch

from search.context import Context
from search.stages.dense import BASELINE, Dense
from search.tune.searcher import FeasibleSearcher
from search.tune.stage import Stage, run_stage
from search.tune.stopping import InfeasibleStopper
from search.width import resources_of_search, width_in_words
from trainables.base.seeding import derive_seed
from trainables.data.registry import DATASETS
from trainables.job import Job
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers
from trainables.models.weights import as_tensors, load_weights
from trainables.outcome.feasible import accuracy_bound
from trainables.outcome.objective import goals_of
from trainables.pruning.uniform_erk_lamp import erk, lamp, uniform
from trainables.records import SEARCH_KINDS

ANCHOR_LEVELS = (0.2, 0.1, 0.4)
"""Keep ratios of the published allocations that are tried first, the most promising first."""

ANCHOR_SHARE = 3
"""At most one trial in this many is an anchor, so that a short search still searches."""


def base_job(context: Context, dense: Dense) -> Job:
    """What all searched trials have in common: one start, one recipe, one seed (common numbers)."""
    sizes = tuple(context.inputs.layers.values())
    seed = derive_seed(context.config.seed, "search")
    return Job(
        trial=context.trial("search", 0, seed, sizes, context.config.defense),
        dense=BASELINE,
        matched_references=BASELINE if context.config.search_has_references else None,
        accuracy_bound=accuracy_bound(dense.val_accuracy, context.config.max_accuracy_drop),
        compression_bound=context.config.min_compression,
    )


def anchor_vectors(context: Context, dense: Dense) -> list[tuple[int, ...]]:
    """Dense, then uniform, ERK and LAMP level by level; Algorithm 1's grid has no anchors.

    A defence that does not prune has one: its numbers at their defaults.
    """
    if context.config.sampler == "grid":
        return []
    if not context.space.prunes:
        return [context.space.layer_weights]
    weights = dense_weights(context, dense)
    pruned = (rule(weights, level) for level in ANCHOR_LEVELS for rule in (uniform, erk, lamp))
    count = max(1, context.config.trials // ANCHOR_SHARE)
    sizes = tuple(context.inputs.layers.values())
    return list(itertools.islice(itertools.chain([sizes], pruned), count))


def dense_weights(context: Context, dense: Dense) -> dict[str, torch.Tensor]:
    """Prunable layer -> its weights in the dense model, in the model's order."""
    spec = DATASETS[context.config.dataset]
    model = build_model(
        context.config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        n_tokens=spec.n_tokens,
        seed=0,
    )
    load_weights(model, as_tensors(dense.shared.dense[BASELINE]))
    return {name: weight.detach() for name, weight in prunable_layers(model).items()}


def search(context: Context, dense: Dense) -> None:
    """Run `trials` trials; every one that ends is in the ledger when this returns."""
    config, space = context.config, context.space
    trials = 1 if space.is_point else config.trials
    goals = list(goals_of(config.to_dict(), dense.val_accuracy).values())
    searcher = FeasibleSearcher(
        space=space,
        sampler_name=config.sampler,
        seed=config.seed,
        n_trials=trials,
        anchors=space.anchors(anchor_vectors(context, dense)),
        goals=goals,
        time_budget_s=config.time_budget_s,
    )
    searcher.follow(context.ledger.rows)
    width = width_in_words(config, context.resources)
    if width is not None:
        context.say(f"{width[0].upper()}{width[1:]}")
    resources = resources_of_search(config, context.resources)
    run_stage(
        Stage(
            name="search",
            folder=context.folder.tune,
            shared=dataclasses.replace(dense.shared, known=_known(context)),
            resources=resources,
            callbacks=[
                context.recorder(mirrored=True),
                context.live_view("Search", trials, searching=True),
                *context.told("search", "Search", trials, resources.concurrency),
            ],
            base=base_job(context, dense),
            searcher=searcher,
            suggested=trials,
            stopper=InfeasibleStopper(allowance=-min(goal.higher for goal in goals)),
        )
    )


def _known(context: Context) -> dict[str, dict[str, Any]]:
    """Rows of the search that are on disk: Tune's snapshot may be older by some trials."""
    return {row["trial_id"]: row for row in context.ledger.rows() if row["kind"] in SEARCH_KINDS}
