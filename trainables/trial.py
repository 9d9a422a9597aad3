"""The Tune adapter: one Ray actor runs one job after another.  Only notice.py also knows Ray."""

import contextlib
import dataclasses
import datetime
import faulthandler
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT
from safetensors.torch import save_file

from trainables.attacks.digest import save_digest
from trainables.attacks.evidence import DigestedReferences
from trainables.base import noun
from trainables.base.errors import one_line
from trainables.base.lean_optimizers import spare_dynamo
from trainables.config import TARGETS_PAIR, TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.job import Shared, job_of
from trainables.measure import Answers, measure_model, size
from trainables.models.weights import as_tensors, save_weights
from trainables.notice import Notice
from trainables.records import COMPLETE, FAILED, EpochRecord
from trainables.runs.dense import LoadedDense, dense_run, dense_seed
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.pruning import PruningRun
from trainables.runs.start import Start
from trainables.training import OUT_OF_GPU_MEMORY, DivergedError

STATE_FILE = "state.pt"
"""What a trial in the middle of its training goes on from."""


REPORT_FILE = "report.json"
"""The last report of a trial that has ended, in place of its state: two to five times the size of
its weights."""


MODEL_FILE = "model.safetensors"


MASKS_FILE = "masks.safetensors"


LOGITS_FILE = "audited_logits.npy"


DIGEST_FILE = "audited_digest.npz"
"""What attacks on other models use of this one's outputs on the audited images."""


POPULATION_FILE = "population_logits.npy"


CORRECT_FILE = "correct.npz"
"""Which validation, test and audited images the model classifies correctly, bool arrays of these
names."""


STDERR = 2
"""The file descriptor to which a worker writes its log."""


CHECKPOINT_EVERY_S = 60.0
"""The seconds from one checkpoint to the next: about what a crash costs; shorter trials write no
state."""


_SIZE_ALWAYS = ("layer_names", "layer_weights", "weights", "parameters")
"""The sizes that do not depend on training, which an unfinished model has too."""


class CheckpointDamaged(RuntimeError):
    """A checkpoint cannot be read; after the usual retries the trial is FAILED with this line."""


class Trial(tune.Trainable):
    """Runs one `Job`; reports at every stage end and where a checkpoint is due.

    After notice that its machine or the program will go, it reports after every epoch.
    """

    def setup(self, config: dict[str, Any], shared: Shared) -> None:  # type: ignore[override]  # tune.with_parameters adds `shared`
        """Put the images on this actor's device once, then start the job."""
        torch.set_num_threads(1)  # one trial per core beats one trial on all of them
        if shared.plugin is not None:
            shared.plugin.load()
        spare_dynamo()
        self._shared = shared
        self._notice = Notice()
        self._device = torch.device(shared.device)
        if shared.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(
                "the cluster offers a GPU that torch cannot use: install a CUDA build of torch, or "
                "run with --gpus-per-trial 0"
            )
        share_memory(self._device, shared.gpu_share)
        self._cohort: Cohort | None = None
        self._references: dict[str, DigestedReferences] = {}
        self._run: Run
        self._known: dict[str, Any] | None
        self._history: list[EpochRecord]
        self._ended: dict[str, Any] | None  # the report of a trial whose checkpoint is its end
        self._last_report: dict[str, Any]
        self._milestone: tuple[float | None, float]  # validation accuracy and progress
        self._before_s: float
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next job in the same process, without a second import or upload."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Advance to the next stage end, or for as long as a checkpoint may wait."""
        if self._known is not None:
            return known_result(self._known)
        if self._ended is not None:
            return {**self._ended, SHOULD_CHECKPOINT: False}
        error = self._train_on()
        with ended_after(self._shared.timeout_s):
            try:
                return self._result(error)
            except torch.cuda.OutOfMemoryError:
                return self._result(OUT_OF_GPU_MEMORY)

    def _train_on(self) -> str | None:
        """Train to the next report; why the training cannot go on, if it cannot."""
        try:
            while not self._run.finished:
                with ended_after(self._shared.timeout_s):
                    self._history.append(self._run.advance())
                if self._run.at_stage_end:  # at fixed epochs: speed must not reach the stopper
                    self._milestone = self._history[-1].val_accuracy, self._run.progress
                    break
                if self._checkpoint_due():
                    break
        except DivergedError as diverged:
            return str(diverged)
        except torch.cuda.OutOfMemoryError:  # it would not fit at another try either
            return OUT_OF_GPU_MEMORY
        return None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the run's state and, if the job keeps its model, weights and what attacks see."""
        if self._known is not None:
            return
        folder = Path(checkpoint_dir)
        self._saved = time.monotonic()
        if self._run.finished:
            self._save_ended(folder)
            return
        state = {
            "run": self._run.state_dict(),
            "history": [dataclasses.asdict(record) for record in self._history],
            "milestone": list(self._milestone),
            "elapsed_s": self._elapsed_s(),
        }
        torch.save(state, folder / STATE_FILE)

    def load_checkpoint(self, checkpoint: str) -> None:  # type: ignore[override]  # Tune hands a folder to a trainable that saved one
        """Continue from a folder that `save_checkpoint` filled."""
        if self._known is not None:
            return
        try:
            report = Path(checkpoint) / REPORT_FILE
            if report.exists():
                self._ended = dict(json.loads(report.read_text()))
                return
            state = torch.load(
                Path(checkpoint) / STATE_FILE, weights_only=True, map_location=self._device
            )
            self._run.load_state_dict(state["run"])
            self._history = [EpochRecord(**record) for record in state["history"]]
            self._milestone = state["milestone"][0], state["milestone"][1]
            self._before_s = float(state["elapsed_s"])
        except Exception as error:
            cause = one_line(error)[:200] or type(error).__name__
            raise CheckpointDamaged(f"its checkpoint cannot be read: {cause}") from error

    def _save_ended(self, folder: Path) -> None:
        """The last report, and what the job keeps of its model."""
        (folder / REPORT_FILE).write_text(json.dumps(self._last_report))
        if self._job.keep_model:
            save_model(self._run, folder)
        if not self._job.is_kept:
            return
        answers = self._answers
        np.save(folder / LOGITS_FILE, answers.audited)
        np.save(folder / POPULATION_FILE, answers.population)
        save_digest(answers.digest, folder / DIGEST_FILE)
        np.savez(
            folder / CORRECT_FILE,
            validation=answers.validation,
            test=answers.test,
            audited=answers.correct,
        )

    def _members_cohort(self) -> Cohort:
        if self._cohort is None:
            spec = DATASETS[self._job.trial.dataset]
            noun.speak_of(spec.noun)
            shared, device = self._shared, self._device
            images = on_device(shared.images, spec, device, shared.decoders)
            pretrained = None if shared.pretrained is None else as_tensors(shared.pretrained)
            self._cohort = Cohort.of(images, shared.split, device, pretrained)
        return self._cohort

    def _start(self, config: dict[str, Any]) -> None:
        self._job = job_of(config)
        self._ended = None
        self._saved = time.monotonic()
        self._known = known_row(self._shared.known, self._job.trial)
        if self._known is not None:
            return
        cohort = self._members_cohort()
        if self._job.reference is not None:
            cohort = cohort.trained_on(self._shared.halves[self._job.reference])
        self._run = self._new_run(cohort)
        self._answers = Answers(self._run, self._members_cohort())
        self._history = []
        self._milestone = (None, 0.0)
        self._started_at = datetime.datetime.now(datetime.UTC)
        self._began = time.monotonic()
        self._before_s = self._job.before_s

    def _new_run(self, cohort: Cohort) -> Run:
        job = self._job
        if job.dense is None:
            return dense_run(job.trial, cohort)
        tensors = as_tensors(self._shared.dense[job.dense])
        if job.trial.kind == "baseline":
            return LoadedDense(job.trial, cohort, tensors)
        seed = dense_seed(job.trial.run_seed, job.reference)
        return new_run(job.trial, cohort, Start(weights=tensors, seed=seed))

    def _checkpoint_due(self) -> bool:
        """Whether the last checkpoint, or the start, is long enough ago; at once after notice."""
        return self._notice.given or time.monotonic() - self._saved > CHECKPOINT_EVERY_S

    def _elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._began

    def _reference_evidence(self) -> DigestedReferences | None:
        """What the job's references know: one object for all trials, which fit it once."""
        name = self._job.matched_references
        if name is None:
            return None
        if name not in self._references:
            digest = self._shared.references[name]
            halves = self._shared.halves[TARGETS_PAIR : TARGETS_PAIR + len(digest.features)]
            self._references[name] = DigestedReferences(digest=digest, trained_on=halves)
        return self._references[name]

    def _result(self, error: str | None) -> dict[str, Any]:
        job, run, trial = self._job, self._run, self._job.trial
        shape = DATASETS[trial.dataset].image_shape
        finished = run.finished and error is None
        due = job.is_kept if finished else error is None and self._checkpoint_due()
        trained_s = self._elapsed_s()
        if finished and job.reference is None and job.dense is not None:
            measured = measure_model(self._answers, trial, shape, self._reference_evidence())
        else:
            sizes = size(run.model, shape, trial.defense)
            measured = {key: sizes[key] for key in _SIZE_ALWAYS}
        val_accuracy, progress = self._milestone
        val_accuracy = measured.get("val_accuracy", val_accuracy)
        compression = sum(measured["layer_weights"]) / max(sum(trial.n), 1)
        self._last_report = {
            **measured,
            "val_accuracy": val_accuracy,
            **job.bounds.violations(val_accuracy, compression),
            "finished": finished,
            "phase": self._history[-1].phase if self._history else None,
            "progress": progress,
            "accuracy_bound": job.accuracy_bound,
            "started_at": self._started_at.isoformat(),
            "duration_s": self._elapsed_s(),
            "training_s": trained_s,
            "node": socket.gethostname(),
            "device": device_name(self._device),
            "epochs": run.epochs,
            "images_seen": run.epochs * len(self._members_cohort().members),
            "trial_error": error,
            "history": [dataclasses.asdict(record) for record in self._history],
            DONE: finished or error is not None,
            SHOULD_CHECKPOINT: due,
        }
        return self._last_report


def share_memory(device: torch.device, share: float) -> None:
    """Keep this process to its share of a GPU's memory, so that no trial takes another's."""
    if device.type == "cuda" and 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)


def known_row(known: dict[str, dict[str, Any]], trial: TrialConfig) -> dict[str, Any] | None:
    """The row of this very candidate; another candidate with the same number is measured anew."""
    row = known.get(trial.trial_id)
    if row is None or dict(row["defense_parameters"] or {}) != dict(trial.parameters):
        return None
    return row if row["n"] == (list(trial.n) or row["layer_weights"]) else None


def known_result(row: dict[str, Any]) -> dict[str, Any]:
    """The last report of a trial already in trials.parquet, which gives the same row again."""
    return {
        **row,
        "started_at": row["started_at"].isoformat(),
        "finished": row["state"] == COMPLETE,
        "trial_error": row["error"] if row["state"] == FAILED else None,
        "history": [],  # on disk
        DONE: True,
    }


@contextlib.contextmanager
def ended_after(timeout_s: float | None) -> Iterator[None]:
    """End this process when the block takes longer; its log then says where the process hung.

    A thread of C code keeps watch, so it also ends code that never gives up the interpreter's lock.
    """
    if timeout_s is not None:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def device_name(device: torch.device) -> str:
    """What the record calls the device: cpu, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def save_model(run: Run, folder: Path) -> None:
    """Write the weights, and the masks if the run pruned, as safetensors."""
    save_weights(run.model, folder / MODEL_FILE)
    if isinstance(run, PruningRun):
        save_file(dict(run.masks), folder / MASKS_FILE)
