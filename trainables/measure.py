"""The measures of one finished model: its size, its accuracies and what attacks gain from it."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.strongest import strongest_attack
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


def released_logits(run: Run, indices: Tensor) -> np.ndarray:
    """All that an attack sees of the model: logits, (m, classes) float32."""
    return run.predict(indices).cpu().numpy()


def evidence_of(
    logits: np.ndarray, cohort: Cohort, reference: ReferenceEvidence | None = None
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


def released_accuracy(run: Run, cohort: Cohort, indices: Tensor) -> float:
    """The fraction of `indices` that the released outputs classify correctly."""
    return float(released_correct(run, cohort, indices).double().mean())


def measure_model(
    run: Run,
    config: TrialConfig,
    cohort: Cohort,
    image_shape: tuple[int, ...],
    reference: ReferenceEvidence | None = None,
) -> dict[str, Any]:
    """Every measured column of trials.parquet for a model that had its full budget."""
    informed = config.kind in SEARCH_KINDS and reference is not None
    found = strongest_attack(
        evidence_of(released_logits(run, cohort.audited), cohort, reference),
        config.attack,
        config.seed,
        device=cohort.members.device,
        without=NETWORKS if informed else (),
    )
    return {
        **size(run.model, image_shape, config.defense),
        "train_accuracy": released_accuracy(run, cohort, cohort.members),
        "val_accuracy": released_accuracy(run, cohort, cohort.validation),
        "test_accuracy": (
            released_accuracy(run, cohort, cohort.test) if config.kind in TEST_KINDS else None
        ),
        "defense_spent": dict(run.spent),
        **dataclasses.asdict(found),
    }
