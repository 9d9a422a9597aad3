"""What a run will take, from a few seconds of its own work on the machine at hand.

One dense model and one candidate are begun on the run's own data, an attack is run on what they
answer, and a process is started; all else is arithmetic on the stages.
"""

import dataclasses
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from search.inputs import Inputs
from search.plan import trainings
from search.search_options import RACERS, SearchConfig
from search.tune.resources import Resources
from search.width import resources_of_search
from trainables.attacks.cross_audit import (
    FEWEST_FOLDS,
    CrossEvidence,
    cross_audit,
    image_folds,
)
from trainables.attacks.digest import stacked
from trainables.attacks.evidence import DigestedReferences
from trainables.attacks.strongest import strongest_attack
from trainables.base.seeding import numpy_generator
from trainables.config import TARGETS_PAIR, TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, halves_of_models
from trainables.data.registry import DATASETS
from trainables.measure import Answers, evidence_of
from trainables.records import NETWORKS
from trainables.runs.dense import dense_run
from trainables.runs.epochs import EpochRun
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.start import Start

HOUSE = Path(__file__).resolve().parents[1]

LONGEST_S = 10.0
"""Each training is watched for so long, at least for an epoch, and the rest of it is reckoned."""

RAY_S, REPORT_S = 5.0, 5.0
"""Seconds until Ray has started, and for winner, report and card; small against any real run."""

STEP_S = 0.3
"""Seconds between the end of a trial and the start of the next in its slot, on the safe side: a
search of 8 trials of 2.6 s on two idle cores lost 0.16 s each (tests/benchmarks/bench_overhead)."""


PROMISING = 0.6
"""The share of a search's trials that may race, since they keep the bounds or nearly: TPE's kept
them in 33 of 60 on mnist5k.  So a race of many trials is full, and one of a dozen is not."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Seconds on this machine, each on one slot."""

    process: float
    """Until a new process can train."""

    dense: float
    """One dense model."""

    candidate: float
    """One candidate of the search, trained in full."""

    search_attack: float
    """What a trial of the search is measured with."""

    confirm_attack: float
    """What a confirmed model, or the dense one, is measured with."""

    cross_audit: float
    """The cross-audit of one vector's models, for each model."""


def probe(config: SearchConfig, inputs: Inputs, resources: Resources) -> Probe:
    """Measure. It takes about half a minute for a small network, an epoch or two of a large one."""
    torch.set_num_threads(1)  # as trials have
    device = torch.device("cuda" if resources.gpus_per_trial > 0 else "cpu")
    decoders = int(resources.cpus_per_trial) if resources.cpus_per_trial > 1 else 0
    images = on_device(inputs.images, DATASETS[config.dataset], device, decoders)
    cohort = Cohort.of(images, inputs.split, device)
    dense = dense_run(_trial(config, "baseline", ()), cohort)
    dense_s = _seconds_of(dense)
    start = {name: value.detach() for name, value in dense.model.state_dict().items()}
    n = tuple(max(1, size // 5) for size in inputs.layers.values())
    trial = _trial(config, "search", n)
    candidate = new_run(trial, cohort, Start(weights=start, seed=config.seed))
    candidate_s = _seconds_of(candidate)
    answers = Answers(candidate, cohort)
    halves = halves_of_models(inputs.split, max(config.dense_models, TARGETS_PAIR), config.seed)
    return Probe(
        process=_process_s(),
        dense=dense_s,
        candidate=candidate_s,
        search_attack=_attack_s(config, cohort, answers, halves, searching=True),
        confirm_attack=_attack_s(config, cohort, answers, halves, searching=False),
        cross_audit=_cross_audit_s(config, cohort, answers, halves),
    )


def _trial(config: SearchConfig, kind: str, n: tuple[int, ...]) -> TrialConfig:
    numbers = {name: number.default for name, number in config.parameters.items()}
    searched = kind == "search"
    return TrialConfig(
        kind=kind,
        number=0,
        run_seed=config.seed,
        seed=config.seed,
        dataset=config.dataset,
        model=config.model,
        n=n,
        defense=config.defense if searched else "none",
        parameters=numbers if searched else {},
        pruner=config.pruner,
        training=config.training,
        admm=config.admm,
        attack=config.attack,
    )


def _seconds_of(run: Run) -> float:
    """The whole training; of a long one the first epochs, and the rest as slow."""
    began = time.perf_counter()
    while not run.finished:
        run.advance()
        taken = time.perf_counter() - began
        if taken > LONGEST_S and isinstance(run, EpochRun):
            return taken * run.budget / run.epochs
    return time.perf_counter() - began


def _attack_s(
    config: SearchConfig, cohort: Cohort, answers: Answers, halves: np.ndarray, *, searching: bool
) -> float:
    """Of attacks with as many references as the run has, which answer as the candidate does."""
    reference = None
    if config.search_has_references if searching else not config.no_references:
        count = config.first_models_each - TARGETS_PAIR
        known = halves[TARGETS_PAIR : TARGETS_PAIR + count]
        reference = DigestedReferences(stacked([answers.digest] * count), known)
    began = time.perf_counter()
    strongest_attack(
        evidence_of(answers.audited, cohort, reference),
        config.attack,
        config.seed,
        device=cohort.members.device,
        without=NETWORKS if searching and reference is not None else (),
    )
    return time.perf_counter() - began


def _cross_audit_s(
    config: SearchConfig, cohort: Cohort, answers: Answers, halves: np.ndarray
) -> float:
    """For each model of a vector."""
    models = config.first_models_each
    if models == 1:
        return 0.0
    labels = cohort.images.labels[cohort.audited].cpu().numpy()
    evidence = CrossEvidence(
        logits=np.stack([answers.audited] * models),
        labels=labels,
        trained_on=halves[:models],
        copies=cohort.copies,
    )
    count = max(FEWEST_FOLDS, config.attack.folds)
    folds = image_folds(labels, count, numpy_generator(config.seed, "probe"), cohort.copies)
    began = time.perf_counter()
    cross_audit(evidence, folds)
    return (time.perf_counter() - began) / models


def _process_s() -> float:
    """A new process that imports what a trial does."""
    began = time.perf_counter()
    command = "import trainables.trial, trainables.attacks.strongest"
    subprocess.run([sys.executable, "-c", command], cwd=HOUSE, check=True)
    return time.perf_counter() - began


def stages(config: SearchConfig, found: Probe, resources: Resources) -> dict[str, float]:
    """Stage -> seconds of wall time; trials that stop early save some."""
    counts, slots = trainings(config), resources.concurrency
    vectors = counts["confirm"] // config.models_each
    racers = min(RACERS, round(PROMISING * config.distinct_trials)) if config.race_models else 0
    audited = (1 + vectors) * config.models_each + racers * config.race_models

    def stage(count: int, each: float, at_once: int = slots) -> float:
        return found.process + math.ceil(count / at_once) * (each + STEP_S) if count else 0.0

    width = resources_of_search(config, resources).concurrency
    measured = {
        "dense": stage(counts["dense"], found.dense) + stage(1, found.confirm_attack),
        "search": stage(counts["search"], found.candidate + found.search_attack, width),
        "race": stage(racers * config.race_models, found.candidate),
        "confirmation": stage(counts["confirm"] - vectors, found.candidate)
        + stage(vectors, found.candidate + found.confirm_attack),
        "audit": stage(counts["audit"], found.candidate),
        "cross-audits": audited * found.cross_audit,
        "start and report": RAY_S + REPORT_S,
    }
    return {name: seconds for name, seconds in measured.items() if seconds}


def in_words(config: SearchConfig, found: Probe, resources: Resources) -> str:
    """The line of the plan."""
    parts = stages(config, found, resources)
    said = ", ".join(f"{name} {_time(seconds)}" for name, seconds in parts.items())
    more = ""
    if config.may_take_more_models:
        doubled = stages(config.with_models(2 * config.models), found, resources)
        more = f"; {_time(sum(doubled.values()))} where the first models do not decide"
    return f"Cost       about {_time(sum(parts.values()))} on machines like this one ({said}){more}"


def _time(seconds: float) -> str:
    """In a unit that reads well.

    >>> _time(42.3), _time(420), _time(40000)
    ('42 s', '7.0 min', '11.1 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
