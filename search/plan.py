"""The plan that `--dry-run` prints: what a run would do and cost, before it does anything."""

import numpy as np

from search.inputs import Inputs
from search.own_network import EPOCHS, RATES
from search.search_options import RACERS, SearchConfig
from search.tune.resources import Resources
from search.width import idle_passes, width_in_words
from trainables.base import noun
from trainables.config import TrialConfig
from trainables.data.images import ImageFiles
from trainables.data.limit import require_within
from trainables.data.registry import DATASETS, DatasetSpec
from trainables.data.split import PARTS
from trainables.data.survey import Sample
from trainables.data.survey_rows import RowSample
from trainables.defenses.registry import DEFENSES, FORWARD_PASSES
from trainables.models.building import build_model, outline
from trainables.models.macs import count_macs
from trainables.own_training import TRAININGS
from trainables.pruning.registry import PRUNERS
from trainables.pruning.uniform_erk_lamp import ALLOCATIONS

CPU_FLOPS, GPU_FLOPS = 2e10, 3e13
"""The assumed useful floating-point operations per second of a core and of a data-centre GPU.

They are orders of magnitude only: launches limit small networks, and memory limits large ones.
"""

DECODED_BYTES = 3 * 256 * 341
"""Of a decoded image of 224 pixels a side, if it was three quarters as high as wide."""


def trainings(config: SearchConfig) -> dict[str, int]:
    """How many models each stage makes, at most."""
    others = len(config.every_level) - 1
    vectors = min(config.confirm_top + others, config.distinct_trials)
    vectors += (len(ALLOCATIONS) + len(PRUNERS)) * config.comparators
    return {
        "dense": config.dense_models,
        "search": config.distinct_trials,
        "race": min(RACERS, config.distinct_trials) * config.race_models,
        "confirm": vectors * config.models_each,
        "audit": config.shadows,
    }


def passes_of_candidate(config: SearchConfig, pruner: str) -> float:
    """The training passes over the members for one candidate with its numbers at the defaults."""
    numbers = {name: parameter.default for name, parameter in config.parameters.items()}
    defense, recipe = DEFENSES[config.defense], config.training.epochs
    epochs = PRUNERS[pruner](_trial(config)).epochs if defense.prunes else recipe
    return defense.cost(float(epochs), numbers)


def _trial(config: SearchConfig) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=config.seed,
        seed=config.seed,
        dataset=config.dataset,
        model=config.model,
        n=(),
        training=config.training,
        admm=config.admm,
        attack=config.attack,
    )


def passes(config: SearchConfig) -> float:
    """The training passes over the members for all models of the run."""
    counts, each = trainings(config), config.models_each
    own = passes_of_candidate(config, config.pruner)
    made = sum(counts[stage] for stage in ("search", "race", "confirm", "audit"))
    others = [pruner for pruner in PRUNERS if pruner != config.pruner] * config.comparators
    by_others = sum(passes_of_candidate(config, pruner) for pruner in others)
    return (
        counts["dense"] * config.training.epochs
        + own * (made - each * len(others))
        + by_others * each
    )


def floating_point_operations(config: SearchConfig, members: int) -> float:
    """The operations of all trainings of the run; stopped trials would make them fewer."""
    return passes(config) * operations_of_pass(config, members)


def idle_operations(config: SearchConfig, members: int, resources: Resources) -> float:
    """What the slots that the search leaves idle could do meanwhile."""
    own = passes_of_candidate(config, config.pruner)
    return idle_passes(config, resources, own) * operations_of_pass(config, members)


def operations_of_pass(config: SearchConfig, members: int) -> float:
    """The floating-point operations of one training pass of the network over the members."""
    spec = DATASETS[config.dataset]
    model = build_model(
        config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        n_tokens=spec.n_tokens,
        seed=0,
    )
    macs = count_macs(model, spec.image_shape).total
    return float(2.0 * macs * FORWARD_PASSES * members)


def plan(
    config: SearchConfig, inputs: Inputs | None, resources: Resources, probed: str | None = None
) -> str:
    """The plan in words; without inputs it uses what is published about the data set.

    probed: what a probe says of the cost (`search/probe.py`).
    """
    counts = trainings(config)
    members = trained_on(config, inputs)
    operations = None if members is None else floating_point_operations(config, members)
    idle = 0.0
    if members is not None:
        idle = idle_operations(config, members, resources)
    budget = "none" if config.time_budget_s is None else f"{config.time_budget_s:g} s"
    drop = "any" if config.is_bare else f"<= {config.max_accuracy_drop:g}"
    if config.levels:
        drop += f" (and a front at {', '.join(f'{level:g}' for level in config.levels)})"
    compression = config.min_compression or "none"
    return "\n".join(
        [
            *what_is_pruned(config, inputs),
            f"Search     {config.sampler} over the {config.space} space, "
            f"{counts['search']} trials, time budget {budget}",
            f"Bounds     accuracy drop {drop}, compression of the prunable weights >= "
            f"{compression}",
            f"Trainings  {counts['dense']} dense, {counts['search']} search, {counts['race']} in "
            f"the race, {counts['confirm']} of confirmed vectors ({config.models_each} each), "
            f"{counts['audit']} audit shadows{_more(config)}",
            *_width(config, resources),
            *(at_what_cost(operations, resources, idle) if probed is None else [probed]),
        ]
    )


def _width(config: SearchConfig, resources: Resources) -> list[str]:
    """The line on slots that the search leaves, if it does."""
    words = width_in_words(config, resources)
    return [] if words is None else [f"Width      {words}"]


def trained_on(config: SearchConfig, inputs: Inputs | None) -> int | None:
    """How much each model trains on; None where that is unknown."""
    return (_published_sizes(config) or {}).get("members") if inputs is None else inputs.trained_on


def what_is_pruned(config: SearchConfig, inputs: Inputs | None) -> list[str]:
    """The lines on the data and the network."""
    spec = DATASETS[config.dataset]
    network = outline(config.model, spec.n_classes, spec.image_shape, spec.n_tokens)
    return [
        *_data(config, inputs, _published_sizes(config) if inputs is None else inputs.sizes),
        f"Network    {config.model}: {sum(network.layers.values()):,} prunable weights in "
        f"{len(network.layers)} layers, {network.prunable_share:.1%} of all "
        f"{network.parameters:,} parameters",
        *(f"Not pruned {name} ({why})" for name, why in network.unpruned.items()),
        *_own(config),
    ]


def at_what_cost(operations: float | None, resources: Resources, idle: float = 0.0) -> list[str]:
    """The lines on the machine and the time.

    operations: floating-point, None where unknown.  idle: those that slots miss for want of trials.
    """
    return [
        f"Machine    {resources.concurrency} at a time, each {resources.cpus_per_trial:g} "
        f"cores and {resources.gpus_per_trial:g} GPUs",
        _cost(operations, resources, idle),
        "Nothing was trained and nothing was written.",
    ]


def _own(config: SearchConfig) -> list[str]:
    """How the models beside the user's own network, or by the user's own training, are made."""
    if TRAININGS:
        made = "by the plugin's own training, whose cost is not counted below"
    elif config.fit_training:
        most = len(EPOCHS) + len(RATES)
        made = f"by a recipe that up to {most} more trainings fit to the given network"
    else:
        made = "by the recipe"
    if config.dense is not None:
        return [
            f"Given      the network of --dense is measured and pruned; others are trained {made}"
        ]
    return [f"Training   {made}"] if TRAININGS else []


def _more(config: SearchConfig) -> str:
    """What a run that its first models leave undecided trains besides."""
    if not config.may_take_more_models:
        return ""
    doubled = config.with_models(2 * config.models)
    more = {stage: count - trainings(config)[stage] for stage, count in trainings(doubled).items()}
    return (
        f"; {more['dense']} dense and {more['confirm']} of vectors more where these do not decide"
    )


def _cost(operations: float | None, resources: Resources, idle: float) -> str:
    if operations is None:
        return f"Cost       unknown, as the number of {noun.many()} is"
    rate = GPU_FLOPS * resources.gpus_per_trial or CPU_FLOPS * resources.cpus_per_trial
    minutes = (operations + idle) / rate / resources.concurrency / 60
    return (
        f"Cost       {operations:.1e} floating-point operations, on the order of "
        f"{max(minutes, 0.1):.1f} minutes plus the attacks (assumed rate {rate:.0e}/s a trial)"
    )


def _published_sizes(config: SearchConfig) -> dict[str, int] | None:
    """Images in each part, to within one per class; None if the data set's size is unknown.

    Raises InvalidInput for a limit larger than what is published.
    """
    spec = DATASETS[config.dataset]
    if config.limit is not None and spec.published is not None:
        require_within(config.dataset, config.limit, spec.published)
    used = config.limit or spec.published
    if used is None:
        return None
    return {part: round(used * spec.fractions[part]) for part in PARTS}


def _data(config: SearchConfig, inputs: Inputs | None, sizes: dict[str, int] | None) -> list[str]:
    """The lines on what the data are or would be."""
    parts = "" if sizes is None else ", ".join(f"{size} {part}" for part, size in sizes.items())
    if inputs is not None:
        repeated = inputs.duplicates.in_words(config.duplicates)  # it has its own row
        return [
            f"Data       {config.dataset}: {parts}",
            *_classes(config, inputs),
            f"Duplicates {repeated}",
            _sample(inputs.survey.sample, DATASETS[config.dataset]),
            *_decoded(inputs),
            *(f"Note       {note}" for note in inputs.notes if note != repeated),
        ]
    published = DATASETS[config.dataset].published
    limit = "" if config.limit is None else f"{config.limit:,} of "
    if published is None and config.limit is None:
        return [f"Data       {config.dataset}: not looked at, its number of {noun.many()} unknown"]
    known = "an unknown number" if published is None else f"{published:,} published"
    return [f"Data       {config.dataset}: not looked at; of {limit}{known}: about {parts}"]


def _decoded(inputs: Inputs) -> list[str]:
    """The line on where decoded images are kept, if they are."""
    images = inputs.images
    if not isinstance(images, ImageFiles) or images.cache is None:
        return []
    size = sum(inputs.sizes.values()) * DECODED_BYTES
    return [
        f"Decoded    kept in {images.cache} of each machine, about {size / 1e9:.1f} GB "
        "(--image-cache)"
    ]


def _classes(config: SearchConfig, inputs: Inputs) -> list[str]:
    """The lines on records per class, overall and in each part: fewest, median and most."""
    spec, images = DATASETS[config.dataset], inputs.images
    present, counts = np.unique(images.labels, return_counts=True)
    fewest = int(present[counts.argmin()])
    name = images.classes[fewest] if isinstance(images, ImageFiles) else fewest
    each = ", ".join(
        f"{_range(np.bincount(images.labels[getattr(inputs.split, part)])[present])} {part}"
        for part in PARTS
    )
    return [
        f"Classes    {len(present)} of {spec.n_classes} have {noun.many()}: {len(images.labels):,} "
        f"in all, {_range(counts)} a class (fewest / median / most), the fewest in {name}",
        f"A class    {each}",
    ]


def _range(counts: np.ndarray) -> str:
    return f"{counts.min()} / {np.median(counts):g} / {counts.max()}"


def _sample(sample: Sample | RowSample, spec: DatasetSpec) -> str:
    def numbers(values: tuple[float, ...]) -> str:
        return " ".join(f"{value:.3f}" for value in values)

    if isinstance(sample, RowSample):
        return f"Sample     {sample.in_words()}"
    return (
        f"Sample     {sample.in_words()}; mean {numbers(sample.mean)} (declared "
        f"{numbers(spec.mean)}), std {numbers(sample.std)} ({numbers(spec.std)})"
    )
