"""Dense model, pruner, hard prune, masked retraining: one candidate as a resumable run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.minmax import AdversaryFor, loss_against
from trainables.defenses.recipe import with_chosen
from trainables.models.prunable import prunable_layers
from trainables.models.weights import load_weights
from trainables.network import new_network
from trainables.pruning.admm import ADMM, Residuals
from trainables.pruning.masks import Masks
from trainables.pruning.registry import PRUNERS
from trainables.records import EpochRecord
from trainables.runs.epochs import EpochRun, Stateful
from trainables.runs.start import Start
from trainables.training import (
    Hook,
    accuracy,
    cosine_pass,
    make_optimizer,
    reestimate_batch_norm,
)

MOST_GAP = 2000
"""Members, and non-members, that the gap attack looks at: at each stage's end and of data sets of
any size. The standard error of its accuracy is then at most 0.8 points."""


class PruningRun(EpochRun):
    """One candidate {n_i} from the dense model to exactly n_i weights, one epoch per `advance`."""

    def __init__(
        self,
        config: TrialConfig,
        cohort: Cohort,
        dense: Mapping[str, Tensor],
        *,
        initial_seed: int,
        adversary: AdversaryFor | None = None,
        network: nn.Module | None = None,
    ) -> None:
        """dense: the state dict of the run's dense model, the start of every candidate.

        initial_seed: seed that initialised the dense model; a lottery ticket rewinds to it.
        adversary: makes the attacker whose gain joins the loss; None trains without one.
        network: takes the dense weights and is pruned [a new one of the trial's model].
        """
        recipe = with_chosen(config.admm, config.parameters)
        config = dataclasses.replace(config, admm=recipe)
        schedule = PRUNERS[config.pruner](config)
        super().__init__(
            config,
            cohort,
            new_network(config, cohort) if network is None else network,
            epochs=schedule.admm_epochs + schedule.retrain_epochs,
            batches="pruning-batches",
        )
        self._schedule = schedule
        self._initial_seed = initial_seed
        load_weights(self.model, dense)
        self._weights = prunable_layers(self.model)
        self._admm = ADMM(self._weights, config.n, config.admm.rho)
        self._masks: Masks | None = None
        self._optimizer = self._new_optimizer(config.admm.learning_rate, config.admm.weight_decay)
        self._epoch = self._pass_over(cohort.members, config.training)
        self._adversary = None if adversary is None else adversary(self.model)
        if schedule.admm_epochs == 0:
            self._hard_prune()

    @property
    def admm_epochs(self) -> int:
        """Length of the ADMM phase in epochs."""
        return self._schedule.admm_epochs

    @property
    def phase(self) -> str:
        """`admm` or `retrain`: the phase of the next epoch, or of the last one when finished."""
        return "admm" if self._done < self.admm_epochs else "retrain"

    @property
    def progress(self) -> float:
        """Fraction of the retraining that is done."""
        return max(0, self._done - self.admm_epochs) / self._schedule.retrain_epochs

    @property
    def at_stage_end(self) -> bool:
        """After an ADMM iteration, halfway through the retraining, and at the end."""
        if self._done <= self.admm_epochs:
            return self._done > 0 and self._done % self.config.admm.epochs_per_iteration == 0
        retrained = self._done - self.admm_epochs
        return self.finished or retrained == (self._schedule.retrain_epochs + 1) // 2

    @property
    def masks(self) -> dict[str, Tensor]:
        """Name -> bool mask; only after the hard prune."""
        if self._masks is None:
            raise RuntimeError("the masks exist only after the hard prune")
        return self._masks.masks

    def advance(self) -> EpochRecord:
        """Train one epoch; after the last of an ADMM iteration, update Z and U."""
        if self.phase == "admm":
            return self._advance_admm()
        return self._advance_retraining()

    def state_dict(self) -> dict[str, Any]:
        """W, optimiser, generators and position; until the hard prune Z, U and rho, then masks."""
        masks = None if self._masks is None else self._masks.masks
        return {**super().state_dict(), "masks": masks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._masks = None
        if state["masks"] is not None:
            device = self.cohort.members.device
            masks = {name: mask.to(device) for name, mask in state["masks"].items()}
            self._masks = Masks(self._weights, masks)
        super().load_state_dict(state)

    def _carried(self) -> Mapping[str, Stateful | None]:
        return {
            "admm": self._admm if self._masks is None else None,  # two more copies of all weights
            "optimizer": self._optimizer,
            "adversary": self._adversary,
        }

    def _new_optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        optimizer = self.config.training.optimizer
        return make_optimizer(self.model, optimizer, learning_rate, weight_decay)

    def _advance_admm(self) -> EpochRecord:
        admm = self.config.admm
        iteration, epoch = divmod(self._done, admm.epochs_per_iteration)
        if epoch == 0 and iteration > 0:
            # Zhang et al. reset it too
            self._optimizer = self._new_optimizer(admm.learning_rate, admm.weight_decay)
        trained = self._train(
            admm.learning_rate,
            (epoch, admm.epochs_per_iteration),
            before_step=self._admm.add_penalty_gradient,
        )
        rho = self._admm.rho
        residuals: Residuals | None = None
        if epoch == admm.epochs_per_iteration - 1:
            residuals = self._admm.update()
            self._admm.grow_rho(admm.rho_growth)
        record = self._counted(
            "admm",
            trained,
            rho=rho,
            primal_residual=None if residuals is None else residuals.primal,
            dual_residual=None if residuals is None else residuals.dual,
            attack_accuracy=self._attack_accuracy(ends_stage=residuals is not None),
        )
        if self._done == self.admm_epochs:
            self._hard_prune()
        return record

    def _hard_prune(self) -> None:
        schedule = self._schedule
        self._masks = Masks.of_largest(self._weights, self.config.n)
        if schedule.rewinds:
            initial = new_network(self.config, self.cohort, seed=self._initial_seed)
            self.model.load_state_dict(initial.state_dict())
        self._masks.apply()
        if not schedule.rewinds:  # a ticket starts where its dense network did, statistics included
            reestimate_batch_norm(self.model, self.cohort.images, self.cohort.members)
        self._optimizer = self._new_optimizer(schedule.retrain_learning_rate, schedule.weight_decay)

    def _advance_retraining(self) -> EpochRecord:
        masks = self._masks
        if masks is None:
            raise RuntimeError("retraining began before the hard prune")
        schedule = self._schedule

        def enforce() -> None:
            masks.apply()
            masks.apply_to_optimizer(self._optimizer)

        trained = self._train(
            schedule.retrain_learning_rate,
            (self._done - self.admm_epochs, schedule.retrain_epochs),
            before_step=masks.apply_to_gradients,
            after_step=enforce,
        )
        masks.assert_exact(self.config.n)
        last = self._done + 1 == self._budget
        return self._counted(
            "retrain", trained, attack_accuracy=self._attack_accuracy(ends_stage=last)
        )

    def _train(
        self,
        start_rate: float,
        position: tuple[int, int],
        *,
        before_step: Hook,
        after_step: Hook = lambda: None,
    ) -> tuple[float, float]:
        """One epoch at `position` = (epoch, epochs) of a cosine from `start_rate` to zero."""
        return self._epoch.train(
            self.model,
            self._optimizer,
            learning_rate=cosine_pass(start_rate, *position, self._epoch.steps),
            loss=loss_against(self._adversary),
            before_step=before_step,
            after_step=after_step,
        )

    def _attack_accuracy(self, *, ends_stage: bool) -> float | None:
        """The inner attacker's at every epoch; without one, the gap attack's at stage ends."""
        if self._adversary is not None:
            return self._adversary.accuracy()
        return self._gap_attack_accuracy() if ends_stage and self.is_recorded else None

    def _gap_attack_accuracy(self) -> float:
        """Balanced accuracy of "member iff classified correctly", cheap enough for every stage."""
        images = self.cohort.images
        members = accuracy(self.model, images, _evenly(self.cohort.members))
        non_members = accuracy(self.model, images, _evenly(self.cohort.non_members))
        return 0.5 + (members - non_members) / 2


def _evenly(indices: Tensor) -> Tensor:
    """At most MOST_GAP of the indices, evenly spread: the same ones in every trial."""
    count = len(indices)
    if count <= MOST_GAP:
        return indices
    return indices[torch.arange(MOST_GAP, device=indices.device) * count // MOST_GAP]


def pruned(config: TrialConfig, cohort: Cohort, start: Start) -> PruningRun:
    """The candidate {n_i} from the run's dense model."""
    return PruningRun(config, cohort, start.weights, initial_seed=start.seed)
