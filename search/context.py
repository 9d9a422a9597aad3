"""What the stages of one run share: settings, data, folder, ledger and resources."""

import dataclasses
from collections.abc import Callable

import numpy as np
from ray import tune

from search.machine_options import Options
from search.parser import require_known
from search.record.mirror import remember
from search.record.runfolder import RunFolder
from search.record.trials_parquet import Ledger
from search.search_options import SearchConfig
from search.space import Space
from search.tune.progress import LiveView
from search.tune.recorder import Recorder, RunIdentity
from search.tune.resources import Resources
from search.tune.stage import Stage
from trainables.base.errors import InvalidInput
from trainables.base.seeding import derive_seed
from trainables.config import TrialConfig
from trainables.data.canaries import choose_canaries, mislabel
from trainables.data.cohort import copies_of_audited, for_population, reference_halves
from trainables.data.duplicates import Duplicates, split_without_copies_apart
from trainables.data.images import ImageFiles, Images
from trainables.data.limit import limited
from trainables.data.registry import DATASETS, load_images, require_there
from trainables.data.split import PARTS, STORED, Split, split_hashes
from trainables.data.survey import Survey, survey_images
from trainables.defenses.registry import DEFENSES
from trainables.job import Job, Shared
from trainables.models.building import Outline, outline
from trainables.models.imagenet import published_weights
from trainables.outcome.objective import Goal, goal_of
from trainables.plugin import Plugin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """The data of a run, loaded and split before anything is written."""

    images: Images | ImageFiles
    split: Split
    network: Outline

    canary: np.ndarray
    """The images whose label is wrong on purpose, (|D| + |D'|,) bool."""

    survey: Survey
    duplicates: Duplicates
    image_hashes: dict[str, str]
    """Each part of the split and the hash of its images and labels, in order."""

    notes: tuple[str, ...] = ()
    """Sentences about the data that the run prints and records."""

    pretrained: dict[str, np.ndarray] | None = None
    """The state dict of published weights; None if networks start from their seeds."""

    plugin: Plugin | None = None

    @property
    def layers(self) -> dict[str, int]:
        """Each prunable layer and its number of weights, in the model's order."""
        return self.network.layers

    @property
    def population(self) -> np.ndarray:
        """The positions of the images that RMIA compares with."""
        return for_population(self.split.reserve, self.split.copies)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of images in each part of the split."""
        return {part: len(getattr(self.split, part)) for part in PARTS}

    def describe(self) -> dict[str, object]:
        """The part of config.json that says which images were which.

        Under --limit all positions are those among the images that are used.
        """
        return {
            "split_hashes": split_hashes(self.split),
            "split_sizes": {STORED[part]: size for part, size in self.sizes.items()},
            "image_hashes": self.image_hashes,
            "duplicates": dataclasses.asdict(self.duplicates),
            "notes": list(self.notes),
            "canaries": int(self.canary.sum()),
            "layer_names": list(self.layers),
            "layer_weights": list(self.layers.values()),
            "parameters": self.network.parameters,
            "unpruned": self.network.unpruned,
        }


def load_inputs(config: SearchConfig, options: Options) -> Inputs:
    """Load, check and split the images. Raises InvalidInput when they are absent or unusable.

    It is also raised when the user's plugin is not the one that the settings were made for.  A dry
    run downloads nothing and raises DataAbsent instead.
    """
    plugin = _plugin(config, options)
    require_known(config)
    spec = DATASETS[config.dataset]
    if options.dry_run:
        require_there(config.dataset, options.data_dir)
    found = load_images(config.dataset, options.data_dir)
    images = limited(config.dataset, found, config.limit, spec.fractions, config.seed)
    seen = survey_images(config.dataset, images, spec)
    copies = seen.contents.copies
    split = split_without_copies_apart(
        images.labels, copies, config.duplicates, spec.fractions, derive_seed(config.seed, "split")
    )
    duplicates = Duplicates.of(images.labels, copies, split)
    network = outline(config.model, spec.n_classes, spec.image_shape)
    canary = choose_canaries(split, config.canaries, config.seed)
    labels = mislabel(images.labels, split, canary, spec.n_classes, config.seed)
    return Inputs(
        images=dataclasses.replace(images, labels=labels),
        split=split,
        network=network,
        canary=canary,
        survey=seen,
        duplicates=duplicates,
        image_hashes=seen.contents.hashes(images.labels, split),
        notes=(
            *_said_of_limit(images, found),
            *seen.notes,
            *_said_of_copies(config, duplicates),
        ),
        pretrained=None if options.dry_run else _pretrained(config, options),
        plugin=plugin,
    )


def _said_of_limit(used: Images | ImageFiles, found: Images | ImageFiles) -> list[str]:
    count, all_of_them = len(used.labels), len(found.labels)
    if count == all_of_them:
        return []
    return [
        f"{count:,} of {all_of_them:,} images are used (--limit), each class in its proportion, "
        "drawn by the seed"
    ]


def _said_of_copies(config: SearchConfig, duplicates: Duplicates) -> list[str]:
    said = [duplicates.in_words(config.duplicates)] if duplicates.images else []
    caveat = DEFENSES[config.defense].on_copies
    if caveat is not None and duplicates.most > 1:
        said.append(caveat.format(most=duplicates.most))
    return said


def _plugin(config: SearchConfig, options: Options) -> Plugin | None:
    if options.plugin is None:
        return None
    plugin = Plugin.read(options.plugin)
    if plugin.sha256 != config.plugin:
        raise InvalidInput(
            f"--plugin {plugin.path}, or a file beside it that it imports, has changed since the "
            "run began: restore it, or start a new run"
        )
    plugin.load()
    return plugin


def _pretrained(config: SearchConfig, options: Options) -> dict[str, np.ndarray] | None:
    if not config.pretrained:
        return None
    weights = published_weights(config.model, options.data_dir)
    return {name: value.numpy() for name, value in weights.items()}


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

    @property
    def space(self) -> Space:
        """The space that the searcher draws from."""
        return Space(
            kind=self.config.space,
            layer_names=tuple(self.inputs.layers),
            layer_weights=tuple(self.inputs.layers.values()),
            minimum_keep=self.config.minimum_keep,
            prunes=DEFENSES[self.config.defense].prunes,
            parameters=self.config.parameters,
        )

    @property
    def halves(self) -> np.ndarray:
        """The images that each reference or shadow trains on, (models, |D| + |D'|) bool."""
        audited = self.inputs.sizes["members"] + self.inputs.sizes["non_members"]
        count = max(self.config.references, self.config.shadows)
        copies = copies_of_audited(self.inputs.split)
        return reference_halves(audited, count, self.config.seed, copies)

    def shared(self, dense: dict[str, dict[str, np.ndarray]]) -> Shared:
        """The data that the trials of a stage read."""
        inputs = self.inputs
        return Shared(
            images=inputs.images,
            split=inputs.split,
            dense=dense,
            halves=self.halves,
            device="cuda" if self.resources.gpus_per_trial > 0 else "cpu",
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

    def stage(self, name: str, jobs: list[Job], shared: Shared, recorded: bool) -> Stage:
        """A stage with a fixed list of jobs."""
        title = name.partition("-")[0].capitalize()
        callbacks: list[tune.Callback] = [self.live_view(title, len(jobs))]
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
