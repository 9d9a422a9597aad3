"""Fits the recipe of the dense models to the user's own network, of whose training nobody told.

References must fit their members as the network fits its own, or the audits of the two differ by
more than membership.  One model each is trained for several numbers of epochs, then, where none
fits, with several rates; what comes nearest trains all models of the run.  The choice looks at the
given network's losses on the audited images, which members they are included: whoever attacks with
these references is granted that much.
"""

import dataclasses

from ray import tune

from search.context import Context
from search.own_network import EPOCHS, RATES
from search.stages.given import fit_of, measure_given
from search.stages.given_dense import take_models
from search.tune.required import StageFailed
from search.tune.stage import run_stage
from trainables.attacks.fit_to_members import Fit, distance, fits_alike
from trainables.base.seeding import derive_seed
from trainables.config import TARGETS_PAIR, TrainingConfig
from trainables.job import Job

FITTED = "fitted_training"
"""Where config.json keeps what was found."""


def with_given(context: Context) -> Context:
    """The run with the user's own network measured, and a recipe that fits it where none was told.

    Without a network of the user the run stays as it is.
    """
    if context.inputs.given is None:
        return context
    given = measure_given(context)
    context = dataclasses.replace(context, given=given)
    if not context.config.fit_training:
        return context
    known = context.folder.read_config().get(FITTED)
    if known is None:
        training = _fitted(context, fit_of(context, given, 0))
        stored = context.folder.read_config()
        context.folder.write_config({**stored, FITTED: dataclasses.asdict(training)})
    else:
        training = TrainingConfig(**known)
    context.say(
        f"Models of the other halves are trained for {training.epochs} epochs at rate "
        f"{training.learning_rate:.2g}, which comes nearest to your network"
    )
    config = dataclasses.replace(context.config, training=training)
    return dataclasses.replace(context, config=config)


def _fitted(context: Context, wanted: Fit) -> TrainingConfig:
    """The recipe whose model fits its members most like `wanted`."""
    usual = context.config.training
    by_epochs = [
        dataclasses.replace(usual, epochs=epochs)
        for epochs in sorted({max(1, round(share * usual.epochs)) for share in EPOCHS})
    ]
    tried = _tried(context, "fit-epochs", by_epochs)
    if not tried:
        raise StageFailed(
            f"each of {len(by_epochs)} recipes for the other halves' models diverged: give --set "
            "training.epochs=N and training.learning_rate=RATE, or register_training in the plugin"
        )
    best = min(tried, key=lambda one: distance(tried[one], wanted))
    if fits_alike(tried[best], wanted):
        return best
    by_rate = [
        dataclasses.replace(best, learning_rate=factor * usual.learning_rate) for factor in RATES
    ]
    tried |= _tried(context, "fit-rates", by_rate)
    return min(tried, key=lambda one: distance(tried[one], wanted))


def _tried(context: Context, name: str, recipes: list[TrainingConfig]) -> dict[TrainingConfig, Fit]:
    """Each recipe and how its model fits; one that diverges is left out."""
    take_models(context, name)
    half = TARGETS_PAIR  # a random one: what fits must not depend on the members being yours
    jobs = [_job(context, number, half, training) for number, training in enumerate(recipes)]
    results: dict[str, tune.Result] = run_stage(
        context.stage(name, jobs, context.shared({}), False)
    )
    found = {}
    for job in jobs:
        result = results.get(job.trial.trial_id)
        if result is not None and (result.metrics or {}).get("finished"):
            found[job.trial.training] = fit_of(context, result, half)
    return found


def _job(context: Context, number: int, half: int, training: TrainingConfig) -> Job:
    seed = derive_seed(context.config.seed, "fit")  # the same for all: they differ by the recipe
    trial = dataclasses.replace(context.trial("reference", number, seed, ()), training=training)
    return Job(trial=trial, reference=half, keep_model=True)
