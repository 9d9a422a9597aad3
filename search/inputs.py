"""The data and the network of a run, loaded, split and looked at before anything is written."""

import dataclasses
from pathlib import Path

import numpy as np

from search.machine_options import Options
from search.member_files import read_positions
from search.own_network import require_unchanged
from search.parser import require_known
from search.search_options import SearchConfig
from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.seeding import derive_seed
from trainables.data.canaries import choose_canaries, mislabel
from trainables.data.cohort import for_population
from trainables.data.duplicates import Duplicates, split_without_copies_apart
from trainables.data.images import Data, ImageFiles
from trainables.data.limit import limited
from trainables.data.own_split import checked_parts, split_of_members
from trainables.data.registry import DATASETS, DEFAULT_FOLDER, load_images, require_there
from trainables.data.split import PARTS, Indices, Split, split_hashes
from trainables.data.survey import Survey, survey_images
from trainables.defenses.registry import DEFENSES
from trainables.foreign_code import said
from trainables.models.building import Outline, build_model, outline
from trainables.models.checkpoint import read_checkpoint
from trainables.models.imagenet import published_weights
from trainables.models.weights import as_arrays
from trainables.plugin import Plugin

NO_CACHE = "none"
"""The value of --image-cache that keeps no decoded images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """The data of a run, loaded and split before anything is written."""

    images: Data
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

    given: dict[str, np.ndarray] | None = None
    """The state dict of the user's own trained network; None if the run trains one."""

    plugin: Plugin | None = None

    noun: str = noun.IMAGES
    """What the records are called."""

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

    @property
    def trained_on(self) -> int:
        """The number of images that each model trains on."""
        return len(self.split.members) + len(self.split.common)

    def describe(self) -> dict[str, object]:
        """The part of config.json that says which images were which.

        Under --limit all positions are those among the images that are used.
        """
        return {
            "split_hashes": split_hashes(self.split),
            "split_sizes": {name: len(places) for name, places in self.split.named.items()},
            "image_hashes": self.image_hashes,
            "duplicates": dataclasses.asdict(self.duplicates),
            "notes": list(self.notes),
            "canaries": int(self.canary.sum()),
            "layer_names": list(self.layers),
            "layer_weights": list(self.layers.values()),
            "parameters": self.network.parameters,
            "unpruned": self.network.unpruned,
            **({} if self.noun == noun.IMAGES else {"noun": self.noun}),
        }


def load_inputs(config: SearchConfig, options: Options) -> Inputs:
    """Load, check and split the images. Raises InvalidInput when they are absent or unusable.

    It is also raised when the user's plugin is not the one that the settings were made for.  A dry
    run downloads nothing and raises DataAbsent instead.
    """
    plugin = _plugin(config, options)
    require_known(config)
    spec = DATASETS[config.dataset]
    noun.speak_of(spec.noun)
    if options.dry_run:
        require_there(config.dataset, options.data_dir)
    found = load_images(config.dataset, options.data_dir)
    images = limited(config.dataset, found, config.limit, spec.fractions, config.seed)
    seen = survey_images(config.dataset, images, spec)
    copies = seen.contents.copies
    own = _own_parts(config, options, images)
    split = _split(config, images.labels, copies, own)
    duplicates = Duplicates.of(images.labels, copies, split)
    network = outline(config.model, spec.n_classes, spec.image_shape, spec.n_tokens)
    canary = choose_canaries(split, config.canaries, config.seed)
    labels = mislabel(images.labels, split, canary, spec.n_classes, config.seed)
    inputs = Inputs(
        images=_kept_decoded(dataclasses.replace(images, labels=labels), options),
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
            *_said_of_members(own, split),
        ),
        given=_given(config, options),
        pretrained=None if options.dry_run else _pretrained(config, options),
        plugin=plugin,
        noun=spec.noun,
    )
    return for_defense(inputs, config.defense)


def _kept_decoded(images: Data, options: Options) -> Data:
    if not isinstance(images, ImageFiles) or options.image_cache == NO_CACHE:
        return images
    return dataclasses.replace(images, cache=Path(options.image_cache))


def for_defense(inputs: Inputs, defense: str) -> Inputs:
    """The same data for a run with another defence, which may have caveats of its own."""
    before = inputs.notes[: len(inputs.notes) - len(inputs.caveats)]
    caveat, most = DEFENSES[defense].on_copies, inputs.duplicates.most
    caveats = () if caveat is None or most < 2 else (caveat.format(a=noun.a(), most=most),)
    return dataclasses.replace(inputs, notes=(*before, *caveats), caveats=caveats)


def _own_parts(config: SearchConfig, options: Options, images: Data) -> dict[str, Indices] | None:
    """Part -> positions, of the parts that the user names; None where all are drawn."""
    spec, count = DATASETS[config.dataset], len(images.labels)
    if options.members is not None:
        require_unchanged("--members", options.members, config.members)
        positions = read_positions(options.members, images, "--members")
        return checked_parts({"members": positions}, count, f"--members {options.members}")
    if spec.positions is None:
        return None
    what = f"the parts of data set {config.dataset!r}"
    with said(f"{what} cannot be read"):
        named = dict(spec.positions((options.data_dir or DEFAULT_FOLDER).absolute()))
    return checked_parts(named, count, what)


def _split(
    config: SearchConfig, labels: Indices, copies: Indices, own: dict[str, Indices] | None
) -> Split:
    seed = derive_seed(config.seed, "split")
    if own is None:
        fractions = DATASETS[config.dataset].fractions
        return split_without_copies_apart(labels, copies, config.duplicates, fractions, seed)
    together = config.duplicates == "together" and len(np.unique(copies)) < len(copies)
    return split_of_members(labels, own, seed, copies if together else None)


def _said_of_members(own: dict[str, Indices] | None, split: Split) -> list[str]:
    if own is None:
        return []
    attacked, common = len(split.members), len(split.common)
    rest = f"; the other {common:,}, which no non-member matches, train every model of the run"
    said = [
        f"The members are given: {attacked:,} of {len(own['members']):,} are attacked, beside as "
        f"many non-members of their classes{rest if common else ''}"
    ]
    left = len(own.get("non_members", split.non_members)) - len(split.non_members)
    return (
        [*said, f"{left:,} of the non-members match no member and are not used"] if left else said
    )


def _given(config: SearchConfig, options: Options) -> dict[str, np.ndarray] | None:
    if options.dense is None:
        return None
    require_unchanged("--dense", options.dense, config.dense)
    spec = DATASETS[config.dataset]
    model = build_model(
        config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        n_tokens=spec.n_tokens,
        seed=0,
    )
    return as_arrays(read_checkpoint(options.dense, model))


def _said_of_limit(used: Data, found: Data) -> list[str]:
    count, all_of_them = len(used.labels), len(found.labels)
    if count == all_of_them:
        return []
    return [
        f"{count:,} of {all_of_them:,} {noun.many()} are used (--limit), each class in its "
        "proportion, drawn by the seed"
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
