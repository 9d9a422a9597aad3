"""The family of attacks by name."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch

from trainables.attacks.calibration import boosted, logistic
from trainables.attacks.evidence import Evidence, Floats
from trainables.attacks.folds import Folds
from trainables.attacks.neural import neural_attack
from trainables.attacks.reference import matched_references
from trainables.attacks.samia import samia_attack
from trainables.attacks.shadow import adaptive
from trainables.attacks.thresholds import METRICS, metric_attack
from trainables.config import AttackConfig
from trainables.records import ADAPTIVE, NEURAL, REFERENCE, SAMIA


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What an attack may use besides the evidence and the folds."""

    config: AttackConfig
    seed: int
    device: torch.device


Attack = Callable[[Evidence, Folds, Setting], Floats]
"""-> (n,) held-out probabilities of membership."""

CONSTANT = "constant"


def _constant(evidence: Evidence, _folds: Folds, _setting: Setting) -> Floats:
    """0.5 everywhere: failing attackers must not make a candidate look better than leak-free."""
    return np.full(len(evidence.labels), 0.5)


def _metric(name: str, evidence: Evidence, folds: Folds, _setting: Setting) -> Floats:
    return metric_attack(name, evidence, folds)


def _neural(evidence: Evidence, folds: Folds, setting: Setting) -> Floats:
    return neural_attack(
        evidence,
        folds,
        epochs=setting.config.neural_epochs,
        seed=setting.seed,
        device=setting.device,
    )


ATTACKS: dict[str, Attack] = {
    CONSTANT: _constant,
    NEURAL: _neural,  # Nasr et al. 2018, the paper's f_A
    **{f"threshold-{name}": functools.partial(_metric, name) for name in METRICS},
    "logistic": lambda evidence, folds, _: logistic(evidence, folds),
    "boosted": lambda evidence, folds, setting: boosted(evidence, folds, setting.seed),
    REFERENCE: lambda evidence, folds, _: matched_references(
        evidence, folds
    ),  # Carlini et al. 2022
    ADAPTIVE: lambda evidence, folds, _: adaptive(evidence, folds),
    SAMIA: lambda evidence, folds, setting: samia_attack(  # Yuan and Zhang 2022
        evidence, folds, seed=setting.seed, device=setting.device
    ),
}
"""Those in `records.WITH_REFERENCES` run only where there are references. The label-only attack
(correct means member; Yeom et al. 2018) is `threshold-correctness`."""
