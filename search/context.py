"""What the stages of one run share: settings, data, folder, ledger and resources."""

import dataclasses
from collections.abc import Callable

import numpy as np
from ray import tune

from search.inputs import Inputs
from search.machine_options import Options
from search.record.mirror import remember
from search.record.progress_json import ProgressFile
from search.record.runfolder import RunFolder
from search.record.trials_parquet import Ledger
from search.search_options import SearchConfig
from search.space import Space
from search.space_kind import RECIPE
from search.tune.progress import LiveView
from search.tune.recorder import Recorder, RunIdentity
from search.tune.resources import Resources
from search.tune.stage import Stage
from search.tune.told import Told
from trainables.base.storage import Place
from trainables.config import TARGETS_PAIR, TrialConfig
from trainables.data.cohort import halves_of_models
from trainables.defenses.registry import DEFENSES
from trainables.job import Job, Shared
from trainables.outcome.objective import Goal, goal_of
from trainables.progress import StageProgress


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """One run in progress."""

    config: SearchConfig
    options: Options
    folder: RunFolder
    run_id: str
    inputs: Inputs
    resources: Resources
    ledger: Ledger
    say: Callable[[str], None]

    given: tune.Result | None = None
    """The measured network of the user; None where the run trains its own."""

    dense_from: Place | None = None
    """The folder of another run whose dense models are those of this one too; None trains its
    own."""

    progress: ProgressFile | None = None
    """Where a live page learns how far the run is; None where nobody is told."""

    @property
    def space(self) -> Space:
        """The space that the searcher draws from."""
        return Space(
            kind=self.config.space.removeprefix(RECIPE),
            layer_names=tuple(self.inputs.layers),
            layer_weights=tuple(self.inputs.layers.values()),
            minimum_keep=self.config.minimum_keep,
            prunes=DEFENSES[self.config.defense].prunes,
            parameters=self.config.parameters,
        )

    @property
    def halves(self) -> np.ndarray:
        """The images that each model of a vector trains on, (models, |D| + |D'|) bool."""
        count = max(self.config.dense_models, TARGETS_PAIR)  # halves come in pairs
        return halves_of_models(self.inputs.split, count, self.config.seed)

    def shared(self, dense: dict[str, dict[str, np.ndarray]]) -> Shared:
        """The data that the trials of a stage read."""
        inputs = self.inputs
        return Shared(
            images=inputs.images,
            split=inputs.split,
            dense=dense,
            halves=self.halves,
            device="cuda" if self.resources.gpus_per_trial > 0 else "cpu",
            gpu_share=self.resources.gpus_per_trial,
            references={},
            pretrained=inputs.pretrained,
            plugin=inputs.plugin,
            decoders=int(cores) if (cores := self.resources.cpus_per_trial) > 1 else 0,
            timeout_s=self.options.trial_timeout_s,
        )

    def trial(
        self, kind: str, number: int, seed: int, n: tuple[int, ...], defense: str = "none"
    ) -> TrialConfig:
        """A trial of this run; the dense model and its references have no defence."""
        config = self.config
        return TrialConfig(
            kind=kind,
            number=number,
            run_seed=config.seed,
            seed=seed,
            dataset=config.dataset,
            model=config.model,
            n=n,
            defense=defense,
            pruner=config.pruner,
            training=config.training,
            admm=config.admm,
            attack=config.attack,
        )

    @property
    def _goal(self) -> Goal:
        return goal_of(self.config.to_dict())

    def recorder(self, *, mirrored: bool = False) -> Recorder:
        """The callback that writes this run's rows."""
        layers = self.inputs.layers
        identity = RunIdentity(
            run_id=self.run_id,
            sampler=self.config.sampler,
            layer_names=tuple(layers),
            layer_weights=tuple(layers.values()),
        )
        if mirrored and self.options.study_storage is not None:
            remember(self.run_id, self.options.study_storage)
        return Recorder(self.ledger, identity, self.space, self._goal if mirrored else None)

    def live_view(self, title: str, total: int, *, searching: bool = False) -> LiveView:
        """The progress bar of a stage."""
        ledger = self.ledger if searching else None
        return LiveView(title, total, quiet=self.options.quiet, ledger=ledger, goal=self._goal)

    def told(
        self, name: str, title: str, total: int, slots: int, jobs: list[Job] | None = None
    ) -> list[tune.Callback]:
        """The callback that tells a live page of a stage, if anybody is told.

        jobs: those of a stage with a fixed list.
        """
        if self.progress is None:
            return []
        stage = StageProgress(name=name, title=title, total=total, slots=slots)
        return [Told(stage, self.progress, jobs)]

    def stage(self, name: str, jobs: list[Job], shared: Shared, recorded: bool) -> Stage:
        """A stage with a fixed list of jobs."""
        title, slots = name.partition("-")[0].capitalize(), self.resources.concurrency
        callbacks: list[tune.Callback] = [self.live_view(title, len(jobs))]
        callbacks += self.told(name, title, len(jobs), slots, jobs)
        if recorded:
            callbacks.append(self.recorder())
        return Stage(
            name=name,
            folder=self.folder.tune,
            shared=shared,
            resources=self.resources,
            callbacks=callbacks,
            jobs=jobs,
        )
