"""The data and the network of a run, loaded, split and looked at before anything is written."""

import dataclasses

import numpy as np

from search.machine_options import Options
from search.parser import require_known
from search.search_options import SearchConfig
from trainables.base.errors import InvalidInput
from trainables.base.seeding import derive_seed
from trainables.data.canaries import choose_canaries, mislabel
from trainables.data.cohort import for_population
from trainables.data.duplicates import Duplicates, split_without_copies_apart
from trainables.data.images import ImageFiles, Images
from trainables.data.limit import limited
from trainables.data.registry import DATASETS, load_images, require_there
from trainables.data.split import PARTS, STORED, Split, split_hashes
from trainables.data.survey import Survey, survey_images
from trainables.defenses.registry import DEFENSES
from trainables.models.building import Outline, outline
from trainables.models.imagenet import published_weights
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

    caveats: tuple[str, ...] = ()
    """Those of them that hold for the run's defence alone."""

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
    inputs = Inputs(
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
            *([duplicates.in_words(config.duplicates)] if duplicates.images else []),
        ),
        pretrained=None if options.dry_run else _pretrained(config, options),
        plugin=plugin,
    )
    return for_defense(inputs, config.defense)


def for_defense(inputs: Inputs, defense: str) -> Inputs:
    """The same data for a run with another defence, which may have caveats of its own."""
    before = inputs.notes[: len(inputs.notes) - len(inputs.caveats)]
    caveat, most = DEFENSES[defense].on_copies, inputs.duplicates.most
    caveats = () if caveat is None or most < 2 else (caveat.format(most=most),)
    return dataclasses.replace(inputs, notes=(*before, *caveats), caveats=caveats)


def _said_of_limit(used: Images | ImageFiles, found: Images | ImageFiles) -> list[str]:
    count, all_of_them = len(used.labels), len(found.labels)
    if count == all_of_them:
        return []
    return [
        f"{count:,} of {all_of_them:,} images are used (--limit), each class in its proportion, "
        "drawn by the seed"
    ]


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
