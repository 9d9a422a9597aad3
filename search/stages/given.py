"""Measures the user's own network before anything is trained, and compares its references with it.

What is found goes into config.json under `given`, and so into the report and the card.
"""

import dataclasses
from typing import Any

import numpy as np
from ray import tune

from search.context import Context
from search.tune.kept import kept_logits
from search.tune.stage import run_stage
from trainables.attacks.fit_to_members import Fit, fit_to_members, match_in_words, mean_fit
from trainables.job import Job
from trainables.runs.dense import dense_seed

GIVEN = "given"
"""The name of the user's network among the dense models."""


def measure_given(context: Context) -> tune.Result:
    """Measure the user's own network, and say what speaks against the list of its members.

    The result's checkpoint is as that of a dense model that the run trained.
    """
    trial = context.trial("baseline", 0, dense_seed(context.config.seed, None), ())
    job = Job(trial=trial, dense=GIVEN, keep_model=True)
    shared = context.shared({GIVEN: context.inputs.given or {}})
    stage = context.stage(GIVEN, [job], shared, False)
    result = run_stage(stage, needed="the measurement of --dense")[trial.trial_id]
    found, fit = result.metrics or {}, fit_of(context, result, 0)
    said = [
        f"Your network: {fit.in_words}; validation accuracy {found['val_accuracy']:.1%}, excess "
        f"gain without references {found['excess_gain']:.4f} nats (standard error "
        f"{found['attack_gain_se']:.4f})",
        *([fit.doubt] if fit.doubt is not None else []),
        *_guesses(context, fit),
    ]
    _keep(context, {"fit": dataclasses.asdict(fit), "said": said})
    for sentence in said:
        context.say(sentence)
    return result


def compare_references(context: Context, models: list[tune.Result]) -> None:
    """Say how well the models of the other halves match the given one, which is the first."""
    given, *others = [fit_of(context, model, half) for half, model in enumerate(models)]
    if not others:
        return
    references = mean_fit(others)
    sentence = match_in_words(references, given)
    context.say(sentence)
    said = [one for one in (_kept(context).get("said") or []) if one != sentence]
    _keep(context, {"references": dataclasses.asdict(references), "said": [*said, sentence]})


def fit_of(context: Context, model: tune.Result, half: int) -> Fit:
    """How a finished dense model fits the audited images of its half, and the others."""
    split = context.inputs.split
    labels = context.inputs.images.labels[np.concatenate([split.members, split.non_members])]
    return fit_to_members(kept_logits(model), labels, context.halves[half])


def _guesses(context: Context, fit: Fit) -> list[str]:
    """A network that hardly knows its members was given other inputs than here, or other labels."""
    split, labels = context.inputs.split, context.inputs.images.labels
    commonest = float(np.bincount(labels[split.members]).max() / len(split.members))
    if fit.accuracy > max(2 * commonest, commonest + 0.05) or fit.accuracy > 0.9:
        return []
    return [
        f"On its members it is right in {fit.accuracy:.1%}, where always guessing the commonest "
        f"class is in {commonest:.1%}: are values, their scale, and the order of classes those "
        "of its training?"
    ]


def _kept(context: Context) -> dict[str, Any]:
    return context.folder.read_config().get(GIVEN) or {}


def _keep(context: Context, found: dict[str, object]) -> None:
    """Add to what config.json says of the given network."""
    stored = context.folder.read_config()
    context.folder.write_config({**stored, GIVEN: {**_kept(context), **found}})
