"""Trains eight models of a vector, or more, without Ray, and measures them as a run would.

LeNet-5 on mnist5k by its preset.  The dense models are kept beside the table.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from search.inputs import Inputs, load_inputs
from search.machine_options import Options
from search.recipes import recipe
from search.search_options import SearchConfig
from search.space import Space
from tests.benchmarks.planned_vectors import Planned
from tests.benchmarks.table import ATTACKED, DENSE, MODELS
from trainables.attacks import crossed
from trainables.attacks.cross_audit import CrossAudit, CrossEvidence, cross_audit, image_folds
from trainables.attacks.crossed import Estimate
from trainables.attacks.evidence import ReferenceEvidence
from trainables.attacks.gain import NO_LEAK
from trainables.attacks.strongest import strongest_attack
from trainables.base.seeding import derive_seed, numpy_generator
from trainables.config import TrialConfig, config_hash
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, copies_of_audited, halves_of_models
from trainables.data.registry import DATASETS
from trainables.measure import evidence_of, released_correct, released_logits
from trainables.models.prunable import prunable_layers
from trainables.models.weights import read_weights, save_weights
from trainables.records import NETWORKS
from trainables.runs.dense import DenseRun, LoadedDense, dense_seed
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.start import Start


def parts_of(models: int) -> dict[str, slice]:
    """Models that are cross-audited together; each part is of complementary pairs."""
    middle = models // 4 * 2
    return {"all": slice(0, models), "first": slice(0, middle), "second": slice(middle, models)}


class Answers(Protocol):
    """What attacks need of a model."""

    def predict(self, indices: Tensor) -> Tensor:
        """(m,) positions -> (m, k) logits."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What the models of one vector answer."""

    logits: np.ndarray
    """(m, |D| + |D'|, classes) of the pool."""

    validation: np.ndarray
    """(m, images) bool: which are classified correctly."""

    test: np.ndarray


def preset(seed: int) -> SearchConfig:
    """What is tabulated."""
    return dataclasses.replace(recipe("mnist5k", "lenet5"), seed=seed)


DECIDING = ("dataset", "model", "limit", "pruner", "minimum_keep", "training", "admm", "attack")
"""The settings that decide what a vector's models are worth; the others are those of a search."""


def deciding(config: SearchConfig) -> str:
    """A hash of these settings."""
    return config_hash({name: config.to_dict()[name] for name in DECIDING})


class EightModels:
    """One run's data and dense models, and what any vector's models are worth against them.

    half: 0 to 7 in every method, counted from the first of the halves.
    """

    def __init__(self, seed: int, folder: Path, first: int = 0, models: int = MODELS) -> None:
        """folder: where the dense models are, or will be.

        first: the first of the halves, an even number; the table's are 0 to 7.
        models: how many there are of each vector; a table has eight.
        """
        self._parts = parts_of(models)
        self.config = preset(seed)
        self.inputs: Inputs = load_inputs(self.config, Options(out=folder))
        device, spec = torch.device("cpu"), DATASETS[self.config.dataset]
        images = on_device(self.inputs.images, spec, device, 0)
        self._cohort = Cohort.of(images, self.inputs.split, device)
        self._numbers = range(first, first + models)
        self._halves = halves_of_models(self.inputs.split, first + models, seed)[first:]
        self._labels = images.labels[self._cohort.audited].numpy()
        self._copies = copies_of_audited(self.inputs.split)
        count = max(3, self.config.attack.folds)
        self._folds = image_folds(
            self._labels, count, numpy_generator(seed, "cross-audit-folds"), self._copies
        )
        self._starts = [self._dense(half, folder) for half in range(models)]
        self._before = self._shown([self._loaded(half) for half in range(models)])

    @property
    def space(self) -> Space:
        """The space that a search of this preset draws from."""
        layers = self.inputs.layers
        return Space(
            kind="layer",
            layer_names=tuple(layers),
            layer_weights=tuple(layers.values()),
            minimum_keep=self.config.minimum_keep,
        )

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """Prunable layer -> its weights in the first dense model."""
        model = self._loaded(0).model
        return {name: weight.detach() for name, weight in prunable_layers(model).items()}

    def dense(self) -> dict[str, Any]:
        """The row of the dense models."""
        began = time.process_time()
        sizes = tuple(self.inputs.layers.values())
        runs = [self._loaded(half) for half in range(ATTACKED)]
        row = self._row(Planned(source=DENSE, n=sizes), runs, self._before)
        return {**row, "number": -1, "seconds": time.process_time() - began}

    def measure(self, number: int, vector: Planned) -> dict[str, Any]:
        """The row of a vector: eight models pruned and retrained, attacked and cross-audited."""
        began = time.process_time()
        runs = [self.pruned(half, vector.n) for half in range(len(self._numbers))]
        row = self._row(vector, runs, self._shown(runs))
        return {**row, "number": number, "seconds": time.process_time() - began}

    def beside_dense(self, n: tuple[int, ...]) -> dict[str, float]:
        """Leak of a vector against the dense models', and test accuracy lost, with intervals."""
        shown = self._shown([self.pruned(half, n) for half in range(len(self._numbers))])
        terms, before = (
            self._audit(one.logits, self._parts["all"]).terms for one in (shown, self._before)
        )
        found: dict[str, float] = {
            "dense_leak": crossed.excess(before).value,
            "leak": crossed.excess(terms).value,
            "compression": sum(self.inputs.layers.values()) / sum(n),
        }
        compared = {
            "ratio": crossed.ratio(terms, before),
            "test_lost": crossed.paired_drop(self._before.test, shown.test),
        }
        for name, figure in compared.items():
            low, high = figure.interval()
            found |= {name: figure.value, f"{name}_low": low, f"{name}_high": high}
        return found

    def judged(self, run: Answers) -> dict[str, float]:
        """What a model of half 0 is worth: accuracy on the test images, excess gain in nats."""
        cohort = self.on(0)
        return {
            "test_accuracy": float(released_correct(run, cohort, cohort.test).double().mean()),
            "excess_gain": self.excess_gain(run, 0).value,
        }

    def trial(self, kind: str, seed: int, n: tuple[int, ...]) -> TrialConfig:
        """The settings of one training by the preset."""
        config = self.config
        return TrialConfig(
            kind=kind,
            number=0,
            run_seed=config.seed,
            seed=seed,
            dataset=config.dataset,
            model=config.model,
            n=n,
            pruner=config.pruner,
            training=config.training,
            admm=config.admm,
            attack=config.attack,
        )

    def on(self, half: int) -> Cohort:
        """The audited images as the model of this half sees them."""
        return self._cohort.trained_on(self._halves[half])

    def _dense_seed(self, half: int) -> int:
        return dense_seed(self.config.seed, self._numbers[half] or None)

    def _dense(self, half: int, folder: Path) -> dict[str, torch.Tensor]:
        """The dense model of a half, trained where its file is missing."""
        path = folder / f"half-{self._numbers[half]}.safetensors"
        if not path.exists():
            run = DenseRun(self.trial("baseline", self._dense_seed(half), ()), self.on(half))
            _finish(run)
            folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".tmp")
            save_weights(run.model, beside)
            beside.replace(path)
        return read_weights(path)

    def _loaded(self, half: int) -> Run:
        trial = self.trial("baseline", self._dense_seed(half), ())
        return LoadedDense(trial, self.on(half), self._starts[half])

    def pruned(self, half: int, n: tuple[int, ...]) -> Run:
        """Seeded as a search trial on half 0, and each other half by itself, so that all pair."""
        number = self._numbers[half]
        purpose = "search" if number == 0 else f"reference-pruning-{number}"
        trial = self.trial("search", derive_seed(self.config.seed, purpose), n)
        start = Start(weights=self._starts[half], seed=self._dense_seed(half))
        run = new_run(trial, self.on(half), start)
        _finish(run)
        return run

    def _shown(self, runs: list[Run]) -> Shown:
        cohort = self._cohort
        return Shown(
            logits=np.stack([released_logits(run, cohort.audited) for run in runs]),
            validation=np.stack(
                [released_correct(run, cohort, cohort.validation).numpy() for run in runs]
            ),
            test=np.stack([released_correct(run, cohort, cohort.test).numpy() for run in runs]),
        )

    def _row(self, vector: Planned, runs: list[Run], shown: Shown) -> dict[str, Any]:
        layers, halves = self.inputs.layers, self._halves
        attacked = [self.excess_gain(run, half) for half, run in enumerate(runs[:ATTACKED])]
        audits = {part: self._audit(shown.logits, models) for part, models in self._parts.items()}
        lost = {
            part: crossed.paired_drop(self._before.validation[models], shown.validation[models])
            for part, models in self._parts.items()
        }
        right = shown.logits.argmax(-1) == self._labels
        return {
            "source": vector.source,
            "level": vector.level,
            "layer_names": list(layers),
            "layer_weights": list(layers.values()),
            "n": list(vector.n),
            "compression": sum(layers.values()) / sum(vector.n),
            "val_accuracy": shown.validation.mean(1).tolist(),
            "test_accuracy": shown.test.mean(1).tolist(),
            "outside_accuracy": [
                float(one[~half].mean()) for one, half in zip(right, halves, strict=True)
            ],
            "family": [estimate.value for estimate in attacked],
            "family_se": [estimate.standard_error for estimate in attacked],
            "gains": _own_gains(audits["all"]).tolist(),
            **_columns("crossed", {k: crossed.excess(a.terms) for k, a in audits.items()}),
            **_columns("lost", lost),
        }

    def _audit(self, logits: np.ndarray, models: slice) -> CrossAudit:
        evidence = CrossEvidence(
            logits=logits[models],
            labels=self._labels,
            trained_on=self._halves[models],
            copies=self._copies,
        )
        return cross_audit(evidence, self._folds)

    def excess_gain(self, run: Answers, half: int) -> Estimate:
        """Excess gain of the attacks that a trial of the search runs.

        The dense models beside the pair of `half` are its references: six, where a run with
        `--models 16` has fourteen.
        """
        cohort = self.on(half)
        inside = self._halves[half]
        order = np.concatenate([np.flatnonzero(inside), np.flatnonzero(~inside)])
        others = ReferenceEvidence(
            logits=self._before.logits[ATTACKED:, order],
            trained_on=self._halves[ATTACKED:, order],
        )
        ordered = dataclasses.replace(
            cohort,
            audited=torch.cat([cohort.members, cohort.non_members]),
            copies=(
                None
                if self._copies is None
                else np.concatenate([self._copies[inside], self._copies[~inside]])
            ),
        )
        evidence = evidence_of(released_logits(run, ordered.audited), ordered, others)
        seed = derive_seed(self.config.seed, "search")
        found = strongest_attack(evidence, self.config.attack, seed, without=NETWORKS)
        return Estimate(found.excess_gain, found.attack_gain_se, len(inside) - 1)


def _finish(run: Run) -> None:
    while not run.finished:
        run.advance()


def _own_gains(audit: CrossAudit) -> np.ndarray:
    """(m,) each model's own excess gain: the mean over its members plus that over the others."""
    term, inside = audit.term, audit.trained_on
    gains = [one[side].mean() + one[~side].mean() for one, side in zip(term, inside, strict=True)]
    return np.array(gains) - NO_LEAK


def _columns(figure: str, parts: dict[str, Estimate]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part, estimate in parts.items():
        found[f"{figure}_{part}"] = estimate.value
        found[f"{figure}_{part}_se"] = estimate.standard_error
    return found
