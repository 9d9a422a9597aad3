"""dense -> ADMM -> hard prune -> masked retrain, as a resumable object; plain Python, no Ray."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.models import build_model, prunable_layers
from trainables.pruning.admm import ADMM, Residuals
from trainables.pruning.masks import Masks
from trainables.records import EpochRecord
from trainables.seeding import torch_generator
from trainables.training import (
    Epoch,
    Hook,
    accuracy,
    cosine,
    make_optimizer,
    predict,
    reestimate_batch_norm,
)


class PruningRun:
    """One candidate {n_i} from the dense model to exactly n_i weights, one epoch per `advance`."""

    spent: Mapping[str, float] = {}

    def __init__(self, config: TrialConfig, cohort: Cohort, dense: Mapping[str, Tensor]) -> None:
        """dense: the state dict of the run's dense model, the start of every candidate."""
        spec = DATASETS[config.dataset]
        self.config = config
        self._cohort = cohort
        device = cohort.members.device
        self.model: nn.Module = (
            build_model(
                config.model,
                n_classes=spec.n_classes,
                image_shape=spec.image_shape,
                seed=config.seed,
            )
            .to(device)
            .to(memory_format=torch.channels_last)
        )
        self.model.load_state_dict(dense)
        self._weights = prunable_layers(self.model)
        self._admm = ADMM(self._weights, config.n, config.admm.rho)
        self._masks: Masks | None = None
        self._optimizer = self._new_optimizer(config.admm.learning_rate)
        self._generator = torch_generator(config.seed, "pruning-batches")
        self._epoch = Epoch(
            cohort.images,
            cohort.members,
            batch_size=config.training.batch_size,
            augment=config.training.augment,
            generator=self._generator,
        )
        self._done = 0

    @property
    def epochs(self) -> int:
        """Epochs trained so far, ADMM and retraining together."""
        return self._done

    @property
    def admm_epochs(self) -> int:
        """Length of the ADMM phase in epochs."""
        return self.config.admm.iterations * self.config.admm.epochs_per_iteration

    @property
    def finished(self) -> bool:
        """Whether the whole budget is spent; the model then has exactly n_i weights."""
        return self._done == self.admm_epochs + self.config.admm.retrain_epochs

    @property
    def phase(self) -> str:
        """Admm or retrain: what the next `advance` does, or the last did when finished."""
        return "admm" if self._done < self.admm_epochs else "retrain"

    @property
    def progress(self) -> float:
        """Fraction of the retraining that is done."""
        return max(0, self._done - self.admm_epochs) / self.config.admm.retrain_epochs

    @property
    def at_stage_end(self) -> bool:
        """After an ADMM iteration, halfway through the retraining, and at the end."""
        admm = self.config.admm
        if self._done <= self.admm_epochs:
            return self._done > 0 and self._done % admm.epochs_per_iteration == 0
        retrained = self._done - self.admm_epochs
        return self.finished or retrained == (admm.retrain_epochs + 1) // 2

    @property
    def masks(self) -> dict[str, Tensor]:
        """Name -> bool mask; only after the hard prune."""
        if self._masks is None:
            raise RuntimeError("there are no masks before the hard prune")
        return self._masks.masks

    def predict(self, indices: Tensor) -> Tensor:
        """Logits (m, classes) float32."""
        return predict(self.model, self._cohort.images, indices)

    def advance(self) -> EpochRecord:
        """Train one epoch; after the last of an ADMM iteration, update Z and U."""
        if self.phase == "admm":
            return self._advance_admm()
        return self._advance_retraining()

    def state_dict(self) -> dict[str, Any]:
        """W, Z, U, rho, masks, optimiser, RNG and position; loads with `weights_only=True`."""
        return {
            "done": self._done,
            "model": self.model.state_dict(),
            "admm": self._admm.state_dict(),
            "masks": None if self._masks is None else self._masks.masks,
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._done = state["done"]
        self.model.load_state_dict(state["model"])
        self._admm.load_state_dict(state["admm"])
        self._masks = None
        if state["masks"] is not None:
            device = self._cohort.members.device
            self._masks = Masks(
                self._weights, {name: mask.to(device) for name, mask in state["masks"].items()}
            )
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())

    def _new_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return make_optimizer(
            self.model,
            self.config.training.optimizer,
            learning_rate,
            self.config.admm.weight_decay,
        )

    def _advance_admm(self) -> EpochRecord:
        admm = self.config.admm
        iteration, epoch = divmod(self._done, admm.epochs_per_iteration)
        if epoch == 0 and iteration > 0:
            self._optimizer = self._new_optimizer(admm.learning_rate)  # Zhang et al. reset it too
        loss, train_accuracy = self._train(
            admm.learning_rate,
            (epoch, admm.epochs_per_iteration),
            before_step=self._admm.add_penalty_gradient,
        )
        rho = self._admm.rho
        residuals: Residuals | None = None
        if epoch == admm.epochs_per_iteration - 1:
            residuals = self._admm.update()
            self._admm.grow_rho(admm.rho_growth)
        self._done += 1
        record = self._record("admm", loss, train_accuracy, rho, residuals)
        if self._done == self.admm_epochs:
            self._hard_prune()
        return record

    def _hard_prune(self) -> None:
        self._masks = Masks.of_largest(self._weights, self.config.n)
        self._masks.apply()
        reestimate_batch_norm(self.model, self._cohort.images, self._cohort.members)
        self._optimizer = self._new_optimizer(self.config.admm.retrain_learning_rate)

    def _advance_retraining(self) -> EpochRecord:
        masks = self._masks
        if masks is None:
            raise RuntimeError("retraining began before the hard prune")
        admm = self.config.admm

        def enforce() -> None:
            masks.apply()
            masks.apply_to_optimizer(self._optimizer)

        loss, train_accuracy = self._train(
            admm.retrain_learning_rate,
            (self._done - self.admm_epochs, admm.retrain_epochs),
            before_step=masks.apply_to_gradients,
            after_step=enforce,
        )
        masks.assert_exact(self.config.n)
        self._done += 1
        return self._record("retrain", loss, train_accuracy)

    def _train(
        self,
        start_rate: float,
        position: tuple[int, int],
        *,
        before_step: Hook,
        after_step: Hook = lambda: None,
    ) -> tuple[float, float]:
        """One epoch at `position` = (epoch, epochs) of a cosine from `start_rate` to zero."""
        epoch, epochs = position
        steps = self._epoch.steps
        return self._epoch.train(
            self.model,
            self._optimizer,
            learning_rate=lambda step: cosine(start_rate, epoch * steps + step, epochs * steps),
            before_step=before_step,
            after_step=after_step,
        )

    def _record(
        self,
        phase: str,
        loss: float,
        train_accuracy: float,
        rho: float | None = None,
        residuals: Residuals | None = None,
    ) -> EpochRecord:
        images = self._cohort.images
        ends_stage = residuals is not None or self.finished
        return EpochRecord(
            trial_id=self.config.trial_id,
            phase=phase,
            epoch=self._done,
            loss=loss,
            train_accuracy=train_accuracy,
            val_accuracy=accuracy(self.model, images, self._cohort.validation),
            rho=rho,
            primal_residual=None if residuals is None else residuals.primal,
            dual_residual=None if residuals is None else residuals.dual,
            attack_accuracy=self._gap_attack_accuracy() if ends_stage else None,
        )

    def _gap_attack_accuracy(self) -> float:
        """Balanced accuracy of "member iff classified correctly", cheap enough for every stage."""
        images = self._cohort.images
        members = accuracy(self.model, images, self._cohort.members)
        non_members = accuracy(self.model, images, self._cohort.non_members)
        return 0.5 + (members - non_members) / 2
