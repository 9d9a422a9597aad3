"""What one Tune trial is asked for, and what all trials of a stage read."""

import dataclasses
from typing import Any

import numpy as np

from trainables.attacks.evidence import Digest
from trainables.config import TrialConfig
from trainables.data.images import Data
from trainables.data.split import Split
from trainables.outcome.feasible import Bounds
from trainables.plugin import Plugin


@dataclasses.dataclass(frozen=True)
class Shared:
    """What every job of a stage reads, held once per node in the object store without copies."""

    images: Data
    split: Split
    dense: dict[str, dict[str, np.ndarray]]
    """The name of a dense model ("baseline", "reference-03") -> its state dict."""

    halves: np.ndarray
    """The images that each model of a vector trains on, (models, |D| + |D'|) bool; see
    `cohort.halves_of_models`."""

    device: str
    """Where trials run, cpu or cuda."""

    gpu_share: float = dataclasses.field(default=1.0, kw_only=True)
    """The share of a GPU that each trial has, where it runs on one."""

    references: dict[str, Digest]
    """The name of a set of references -> what attacks use of their outputs on D and D': the dense
    models', or those of a confirmed vector."""

    pretrained: dict[str, np.ndarray] | None = None
    """The state dict from which every network of the run starts; None draws from its seed."""

    decoders: int = 0
    """The number of processes beside each trial that read image files ahead."""

    plugin: Plugin | None = None
    """The user's file that registers the network or the data set."""

    timeout_s: float | None = None
    """The seconds without an epoch or a measurement that end a process; None waits for ever."""

    known: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Trial id -> its row of trials.parquet, if a killed driver had written the row but not yet
    told Tune; the trial then answers with the row instead of running again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One Tune trial: what to measure, from which start, and what to leave behind."""

    trial: TrialConfig

    dense: str | None = None
    """The dense model to prune; None trains a dense model instead."""

    reference: int | None = None
    """The number of the half to train on, which makes it a reference; None trains on half 0, the
    members."""

    matched_references: str | None = None
    """The set in `Shared.references` to attack with, made as the model is or, in a search, the
    dense models; None attacks without references.  Tune's snapshots hold this field's name."""

    keep_model: bool = False
    """Whether the last checkpoint keeps the weights and masks, and what `keep_outputs` does."""

    keep_outputs: bool = False
    """Whether the last checkpoint keeps what attacks and bounds ask of the model: logits, and which
    images it classifies correctly."""

    before_s: float = 0.0
    """The seconds spent on this model before this job; they count towards its duration."""

    accuracy_bound: float = 0.0
    """The validation accuracy below which the trial is infeasible; the stopper reads it too."""

    compression_bound: float | None = None
    """The compression below which the trial is infeasible; None sets no bound."""

    @property
    def is_kept(self) -> bool:
        """Whether anything of the model is needed after its trial."""
        return self.keep_model or self.keep_outputs

    @property
    def bounds(self) -> Bounds:
        """What the trial must reach; the compression follows from {n_i}, met exactly at the end."""
        return Bounds(accuracy=self.accuracy_bound, compression=self.compression_bound)

    def to_dict(self) -> dict[str, Any]:
        """The job as plain JSON types, for Tune's configuration."""
        return {**dataclasses.asdict(self), "trial": self.trial.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Job":
        """Rebuild what `to_dict` wrote."""
        return cls(**{**values, "trial": TrialConfig.from_dict(values["trial"])})


SUGGESTED = ("kind", "number", "n", "parameters")
"""The fields of a trial that a searcher decides."""


def job_of(config: dict[str, Any]) -> Job:
    """The job in a Tune configuration: a whole job, or a base plus the searcher's suggestion."""
    values = config["job"]
    suggested = {key: config[key] for key in SUGGESTED if key in config}
    return Job.from_dict({**values, "trial": {**values["trial"], **suggested}})
