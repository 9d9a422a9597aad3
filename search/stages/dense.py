"""The dense stage: the model that trials start from, those of the other halves, and its record."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from search.context import Context
from search.stages.cross_audit import keep_cross_audit
from search.stages.given import compare_references
from search.stages.given_dense import take_models, taken_row
from search.tune.kept import kept_checkpoint, kept_digest
from search.tune.required import StageFailed
from search.tune.stage import run_stage
from trainables.attacks.digest import stacked
from trainables.attacks.evidence import Digest
from trainables.base.seeding import derive_seed
from trainables.base.storage import write
from trainables.config import TARGETS_PAIR
from trainables.job import Job, Shared
from trainables.models.weights import as_arrays, read_weights
from trainables.outcome.feasible import ROUNDING
from trainables.records import COMPLETE, EpochRecord
from trainables.runs.dense import dense_seed
from trainables.trial import MODEL_FILE

BASELINE = "baseline"

STAGE = "dense"
"""The name of the stage that trains them."""

OTHER_MACHINE = 0.005
"""How far an accuracy may differ on another processor, or a GPU, by rounding alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense:
    """What the dense stage leaves for the search and the confirmation."""

    shared: Shared
    """With the dense model and the references' dense models."""

    val_accuracy: float
    """What trials are held to: the mean of `accuracies`; in runs that older releases began, the
    validation accuracy of the model that ships."""

    accuracies: np.ndarray
    """(models,) validation accuracies of the dense models with which the run began."""

    row: dict[str, Any]
    """The baseline's row of trials.parquet."""

    results: list[tune.Result]
    """Results of the dense models, one per half in order, whose checkpoints hold logits."""


def train_dense(context: Context) -> Dense:
    """Train one dense model per half, and measure the first, once per run."""
    jobs = _dense_jobs(context, range(context.config.first_dense_models))
    results = dense_models(context)
    for total, halves in context.config.added_halves.items():
        added = _dense_jobs(context, halves)
        stage = context.stage(f"dense-{total}", added, context.shared({}), False)
        results |= run_stage(stage, needed="dense model")
        jobs += added
    states = {_dense_name(job): _weights(results[job.trial.trial_id]) for job in jobs}
    models = [results[job.trial.trial_id] for job in jobs]
    attackers = models[: context.config.first_models_each]
    shared = dataclasses.replace(context.shared(states), references=_references(attackers))
    _keep_baseline(context, models[0])
    if context.given is not None:
        compare_references(context, models[: context.config.first_dense_models])
    row = _measure(context, shared, models)
    accuracies = _accuracies(row, models[1 : context.config.first_dense_models])
    return Dense(
        shared=shared,
        val_accuracy=float(accuracies.mean()),
        accuracies=accuracies,
        row=row,
        results=models,
    )


def dense_models(context: Context) -> dict[str, tune.Result]:
    """Train the dense models with which a run begins, or take those of another; by trial id."""
    if context.inputs.pretrained is not None:
        context.say(
            "Networks start from published weights and are fine-tuned on the members only: what is "
            "measured is membership in the fine-tuning"
        )
    jobs = _dense_jobs(context, range(context.config.first_dense_models))
    own = {} if context.given is None else {jobs.pop(0).trial.trial_id: context.given}
    if not jobs:
        return own
    take_models(context, STAGE)
    stage = context.stage(STAGE, jobs, context.shared({}), False)
    if context.dense_from is not None:  # nothing is left to watch
        stage = dataclasses.replace(stage, callbacks=[])
    return own | run_stage(stage, needed="dense model")


def _dense_jobs(context: Context, halves: Sequence[int]) -> list[Job]:
    """One job per half; the first half is that of the model that ships."""
    return [_dense_job(context, half) for half in halves]


def _dense_job(context: Context, half: int) -> Job:
    seed = context.config.seed
    if half == 0:
        return Job(trial=context.trial("baseline", 0, dense_seed(seed, None), ()), keep_model=True)
    return Job(
        trial=context.trial("reference", half, dense_seed(seed, half), ()),
        reference=half,
        keep_model=True,
    )


def _dense_name(job: Job) -> str:
    return BASELINE if job.reference is None else f"reference-{job.reference:02d}"


def _weights(result: tune.Result) -> dict[str, np.ndarray]:
    with kept_checkpoint(result).as_directory() as folder:
        return as_arrays(read_weights(Path(folder) / MODEL_FILE))


def _keep_baseline(context: Context, trained: tune.Result) -> None:
    with kept_checkpoint(trained).as_directory() as folder:
        write(context.folder.baseline / MODEL_FILE, (Path(folder) / MODEL_FILE).read_bytes())
    history = [EpochRecord(**epoch) for epoch in (trained.metrics or {})["history"]]
    if history:  # a given network brings none
        context.ledger.write_epochs(history[0].trial_id, history)


def _references(models: list[tune.Result]) -> dict[str, Digest]:
    """What attacks use of the dense models that attack the first; empty where there are none."""
    others = models[TARGETS_PAIR:]
    return {BASELINE: stacked([kept_digest(model) for model in others])} if others else {}


def _measure(context: Context, shared: Shared, models: list[tune.Result]) -> dict[str, Any]:
    """Attack the dense model, its references included, as confirmed trials are attacked.

    models: one per half in order.
    """
    trained, halves = models[0], context.config.halves_each
    sizes = tuple(context.inputs.layers.values())
    job = Job(
        trial=context.trial("baseline", 0, derive_seed(context.config.seed, "confirm-0"), sizes),
        dense=BASELINE,
        matched_references=BASELINE if shared.references else None,
        before_s=float((trained.metrics or {})["duration_s"]),
    )
    taken = taken_row(context, job.trial.trial_id)
    if len(halves) > 1:
        keep_cross_audit(context, job.trial.trial_id, [models[half] for half in halves])
    if taken is None:
        attack = context.stage("baseline", [job], shared, True)
        run_stage(attack, needed="the attack on the dense model")
    row = next(row for row in context.ledger.rows() if row["kind"] == "baseline")
    if row["state"] != COMPLETE:
        raise StageFailed(f"the dense model could not be measured: {row['error']}")
    require_as_trained(trained.metrics or {}, row)
    write(context.folder.baseline / "record.json", json.dumps(row, default=str, indent=2) + "\n")
    return row


def _accuracies(row: Mapping[str, Any], others: Sequence[tune.Result]) -> np.ndarray:
    """Validation accuracies of the dense model that ships and of those of the other halves.

    One is more accurate than the next by as much as a bound allows to lose, and what is pruned from
    it hardly inherits that: so their mean is what vectors are held to.
    """
    of_others = [(model.metrics or {})["val_accuracy"] for model in others]
    return np.array([row["val_accuracy"], *of_others], dtype=float)


def require_as_trained(trained: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Raise StageFailed where the model that was measured is not the one that was trained.

    trained: the last report of its training.  Weights are all that passed from one to the other, so
    the accuracies differ where the network keeps anything beside them.
    """
    last, measured = float(trained["val_accuracy"]), float(row["val_accuracy"])
    here = all(trained[key] == row[key] for key in ("node", "device")) and row["device"] == "cpu"
    if abs(last - measured) > (ROUNDING if here else OTHER_MACHINE):
        raise StageFailed(
            f"the dense model had validation accuracy {last:.4f} at the end of its training, but "
            f"its weights, loaded to be measured, have {measured:.4f}: the network is not "
            "determined by its state dict; keep all it needs in parameters and buffers"
        )
