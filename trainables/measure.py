"""The measures of one finished model: its size, its accuracies and what attacks gain from it."""

import dataclasses
import functools
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.attacks.digest import digest_of
from trainables.attacks.evidence import (
    Digest,
    DigestedReferences,
    Evidence,
    ReferenceEvidence,
)
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.registry import DEFENSES
from trainables.models.macs import count_macs
from trainables.models.prunable import parameter_count, prunable_layers
from trainables.records import COMPARATOR, NETWORKS, SEARCH_KINDS
from trainables.runs.protocol import Run

TEST_KINDS = ("baseline", "confirm", COMPARATOR)
"""The kinds of rows that may look at the test part; a search that saw it would fit it."""


def size(model: nn.Module, image_shape: tuple[int, ...], defense: str) -> dict[str, Any]:
    """The size columns of the record, counted on the actual weights against one dense network.

    flops_ratio: multiply-accumulates without those of zero weights / those of the dense network.
    A stack holds more than one network, so its compression is below 1 and its ratio above 1.
    """
    network = model.get_submodule(DEFENSES[defense].network)
    sizes = {name: weight.numel() for name, weight in prunable_layers(network).items()}
    layers = prunable_layers(model)
    nonzero = {name: int(torch.count_nonzero(weight)) for name, weight in layers.items()}
    macs = count_macs(model, image_shape)
    left = sum(macs.layers[name] * nonzero[name] / w.numel() for name, w in layers.items())
    whole = macs if network is model else count_macs(network, image_shape)
    return {
        "layer_names": list(sizes),
        "layer_weights": list(sizes.values()),
        "nonzero": sum(nonzero.values()),
        "weights": sum(sizes.values()),
        "parameters": parameter_count(network),
        "compression": sum(sizes.values()) / max(sum(nonzero.values()), 1),
        "flops_ratio": (left + macs.elsewhere) / max(whole.total, 1),
    }


class Answers:
    """What a finished model releases, on whole parts of the cohort; each part is asked once.

    Accuracies, attacks and the files for later audits are slices of the same outputs.
    """

    def __init__(self, run: Run, cohort: Cohort) -> None:
        """run: asked when an answer is first needed, and not to be trained after that."""
        self.run = run
        self.cohort = cohort

    @functools.cached_property
    def _timed(self) -> tuple[np.ndarray, float]:
        began = time.perf_counter()
        logits = released_logits(self.run, self.cohort.audited)  # on the CPU: nothing is awaited
        return logits, (time.perf_counter() - began) / len(logits)

    @property
    def audited(self) -> np.ndarray:
        """(|D| + |D'|, classes) float32 logits."""
        return self._timed[0]

    @property
    def answer_s(self) -> float:
        """Seconds that an answer took, per image."""
        return self._timed[1]

    @functools.cached_property
    def population(self) -> np.ndarray:
        """(z, classes) float32 logits."""
        return released_logits(self.run, self.cohort.population)

    @property
    def digest(self) -> Digest:
        """What attacks on other models use of `audited`."""
        return digest_of(self.audited, self._labels)

    @property
    def correct(self) -> np.ndarray:
        """(|D| + |D'|,) bool: which audited images are classified correctly."""
        right: np.ndarray = self.audited.argmax(axis=1) == self._labels
        return right

    @property
    def _labels(self) -> np.ndarray:
        labels: np.ndarray = self.cohort.images.labels[self.cohort.audited].cpu().numpy()
        return labels

    @functools.cached_property
    def validation(self) -> np.ndarray:
        """Bool, (validation images,): which are classified correctly."""
        return released_correct(self.run, self.cohort, self.cohort.validation).cpu().numpy()

    @functools.cached_property
    def test(self) -> np.ndarray:
        """Bool, (test images,): which are classified correctly."""
        return released_correct(self.run, self.cohort, self.cohort.test).cpu().numpy()

    @functools.cached_property
    def members(self) -> np.ndarray:
        """Bool, (members,): which are classified correctly; those of every model come last."""
        attacked: np.ndarray = self.correct[self.cohort.is_member]
        if self.cohort.common is None:
            return attacked
        common = released_correct(self.run, self.cohort, self.cohort.common).cpu().numpy()
        return np.concatenate([attacked, common])


def released_logits(run: Run, indices: Tensor) -> np.ndarray:
    """All that an attack sees of the model: logits, (m, classes) float32."""
    return run.predict(indices).cpu().numpy()


def evidence_of(
    logits: np.ndarray,
    cohort: Cohort,
    reference: ReferenceEvidence | DigestedReferences | None = None,
) -> Evidence:
    """The attacks' view of a model trained on the cohort's members."""
    return Evidence(
        logits=logits,
        labels=cohort.images.labels[cohort.audited].cpu().numpy(),
        is_member=cohort.is_member,
        reference=reference,
        copies=cohort.copies,
    )


def released_correct(run: Run, cohort: Cohort, indices: Tensor) -> Tensor:
    """(m,) bool: which of `indices` the released outputs classify correctly."""
    return run.predict(indices).argmax(1) == cohort.images.labels[indices]


def measure_model(
    answers: Answers,
    config: TrialConfig,
    image_shape: tuple[int, ...],
    reference: ReferenceEvidence | DigestedReferences | None = None,
) -> dict[str, Any]:
    """Every measured column of trials.parquet for a model that had its full budget."""
    from trainables.attacks.strongest import strongest_attack  # scikit-learn costs a second

    informed = config.kind in SEARCH_KINDS and reference is not None
    run, cohort = answers.run, answers.cohort
    found = strongest_attack(
        evidence_of(answers.audited, cohort, reference),
        config.attack,
        config.seed,
        device=cohort.members.device,
        without=NETWORKS if informed else (),
    )
    return {
        **size(run.model, image_shape, config.defense),
        "train_accuracy": float(answers.members.mean()),
        "val_accuracy": float(answers.validation.mean()),
        "test_accuracy": float(answers.test.mean()) if config.kind in TEST_KINDS else None,
        "defense_spent": dict(run.spent),
        "answer_s": answers.answer_s,
        **dataclasses.asdict(found),
    }
