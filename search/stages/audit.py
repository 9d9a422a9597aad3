"""The audit stage: today's attacks on the dense model and the winner, each with its own shadows.

A winner's shadows are made as it was made: same start, same {n_i}, same defence, on random halves
of the audited images. Shadows of another kind would understate its leak.
"""

import dataclasses
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ray import tune

from search.context import Context
from search.space import Candidate
from search.stages.dense import Dense
from search.tune.kept import kept_digest, kept_logits
from search.tune.stage import run_stage
from trainables.attacks.auditors import audit_scores, calibrated_score
from trainables.attacks.digest import stacked
from trainables.attacks.evidence import Digest, DigestedReferences, Evidence, Floats
from trainables.attacks.folds import stratified_folds
from trainables.attacks.rmia import Population
from trainables.base.seeding import derive_seed, numpy_generator
from trainables.base.storage import write
from trainables.config import TARGETS_PAIR, config_hash
from trainables.data.cohort import copies_of_audited
from trainables.job import Job
from trainables.records import AUDIT_SCHEMA
from trainables.trial import POPULATION_FILE

SCORES = "scores.parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shadows:
    """What the shadow models say of the audited images, in compact form, and of the population."""

    audited: Digest
    """Of (r, |D| + |D'|)."""

    population: np.ndarray
    """(r, z, k) logits."""

    @classmethod
    def of(cls, results: list[tune.Result]) -> "Shadows":
        """From the checkpoints of jobs that kept their models."""
        return cls(
            audited=stacked([kept_digest(result) for result in results]),
            population=np.stack([kept_logits(result, POPULATION_FILE) for result in results]),
        )

    def to_npz(self) -> bytes:
        """As `from_npz` reads it."""
        content = io.BytesIO()
        np.savez(content, population=self.population, **vars(self.audited))
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "Shadows":
        """What `to_npz` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            read = dict(arrays)
        return cls(population=read.pop("population"), audited=Digest(**read))


def audit(context: Context, dense: Dense, base: Job, winner: tune.Result) -> None:
    """Score every audited image under every attack of `--audit`, into RUN/audit/scores.parquet.

    base: the job of a search trial.  winner: the confirmed trial whose model was exported.
    """
    count, first = context.config.shadows, TARGETS_PAIR
    context.say(f"Audit: {context.config.audit} with {count} shadow models")
    targets = {
        "dense": (dense.results[0], Shadows.of(dense.results[first : first + count])),
        "winner": (winner, _shadows(context, dense, base, winner)),
    }
    tables = [_table(context, name, *models) for name, models in targets.items()]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), sink)
    write(context.folder.audit / SCORES, sink.getvalue().to_pybytes())


def _shadows(context: Context, dense: Dense, base: Job, winner: tune.Result) -> Shadows:
    """The winner's shadows, from the cache where this very candidate was audited before."""
    values = winner.config or {}
    trial = values["job"]["trial"]
    candidate = Candidate.of(trial["n"], trial["parameters"])
    jobs = [
        _shadow_job(context, base, candidate, TARGETS_PAIR + number)
        for number in range(context.config.shadows)
    ]
    key = config_hash({"jobs": [job.trial.to_dict() for job in jobs]})
    cached = context.folder.audit / f"shadows-digest-{key}.npz"
    if cached.exists():
        return Shadows.from_npz(cached.read_bytes())
    stage = context.stage(f"audit-{key}", jobs, dense.shared, False)
    results = run_stage(stage, needed="shadow model")
    shadows = Shadows.of([results[job.trial.trial_id] for job in jobs])
    write(cached, shadows.to_npz())
    return shadows


def _shadow_job(context: Context, base: Job, candidate: Candidate, number: int) -> Job:
    trial = dataclasses.replace(
        base.trial,
        kind="reference",
        number=number,
        seed=derive_seed(context.config.seed, f"reference-pruning-{number}"),
        n=candidate.n,
        parameters=dict(candidate.parameters),
    )
    return dataclasses.replace(
        base, trial=trial, dense=f"reference-{number:02d}", reference=number, keep_outputs=True
    )


def _table(context: Context, model: str, target: tune.Result, shadows: Shadows) -> pa.Table:
    inputs = context.inputs
    audited = np.concatenate([inputs.split.members, inputs.split.non_members])
    is_member = np.arange(len(audited)) < len(inputs.split.members)
    halves = context.halves[TARGETS_PAIR : TARGETS_PAIR + len(shadows.population)]
    evidence = Evidence(
        logits=kept_logits(target),
        labels=inputs.images.labels[audited],
        is_member=is_member,
        reference=DigestedReferences(digest=shadows.audited, trained_on=halves),
        copies=copies_of_audited(inputs.split),
    )
    population = Population(
        target=kept_logits(target, POPULATION_FILE),
        reference=shadows.population,
        labels=inputs.images.labels[inputs.population],
    )
    scores = audit_scores(context.config.audit, evidence, population)
    generator = numpy_generator(context.config.seed, "audit-folds")
    folds = stratified_folds(evidence, context.config.attack.folds, generator)
    return pa.concat_tables(
        [
            _rows(model, attack, values, calibrated_score(values, evidence, folds), inputs.canary)
            for attack, values in scores.items()
        ]
    )


def _rows(
    model: str, attack: str, scores: Floats, probabilities: Floats, canary: np.ndarray
) -> pa.Table:
    count = len(scores)
    return pa.table(
        {
            "model": [model] * count,
            "attack": [attack] * count,
            "image": np.arange(count, dtype=np.int64),
            "is_member": np.arange(count) < count // 2,
            "canary": canary,
            "score": scores,
            "probability": probabilities,
        },
        schema=AUDIT_SCHEMA,
    )
