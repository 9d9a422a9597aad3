"""What a run would do and cost, before it does anything: `--dry-run`."""

from search.config import SearchConfig
from search.context import Inputs
from search.launch import Resources
from trainables.data.registry import DATASETS
from trainables.models import build_model, layer_macs
from trainables.pruning.allocation import ALLOCATIONS

CPU_FLOPS, GPU_FLOPS = 2e10, 3e13
"""Useful floating-point operations per second of one core and of one data-centre GPU, assumed.

Order of magnitude only: small networks are bound by launches, large ones by memory.
"""

PASSES = 3
"""A training step costs about three forward passes: forward, and two products backward."""


def trainings(config: SearchConfig) -> dict[str, int]:
    """How many models each stage trains, at most."""
    vectors = config.confirm_top + len(ALLOCATIONS) * config.comparators
    return {
        "dense": 1 + max(config.references, config.shadows),
        "search": config.trials,
        "references": vectors * config.references,
        "confirm": vectors * config.confirm_seeds,
        "audit": config.shadows,
    }


def floating_point_operations(config: SearchConfig, members: int) -> float:
    """Operations of all trainings of the run; stopped trials would make it less."""
    spec = DATASETS[config.dataset]
    model = build_model(
        config.model, n_classes=spec.n_classes, image_shape=spec.image_shape, seed=0
    )
    macs = sum(layer_macs(model, spec.image_shape).values())
    admm = config.admm
    pruning = admm.iterations * admm.epochs_per_iteration + admm.retrain_epochs
    counts = trainings(config)
    epochs = counts["dense"] * config.training.epochs + pruning * (
        counts["search"] + counts["references"] + counts["confirm"] + counts["audit"]
    )
    return float(2.0 * macs * PASSES * members * epochs)


def plan(config: SearchConfig, inputs: Inputs, resources: Resources) -> str:
    """The plan in words."""
    counts = trainings(config)
    operations = floating_point_operations(config, inputs.sizes["members"])
    rate = GPU_FLOPS * resources.gpus_per_trial or CPU_FLOPS * resources.cpus_per_trial
    minutes = operations / rate / resources.concurrency / 60
    budget = "none" if config.time_budget_s is None else f"{config.time_budget_s:g} s"
    drop = "any" if config.is_bare else f"<= {config.max_accuracy_drop:g}"
    compression = config.min_compression or "none"
    return "\n".join(
        [
            f"Data       {config.dataset}: "
            + ", ".join(f"{size} {part}" for part, size in inputs.sizes.items()),
            f"Network    {config.model}: {sum(inputs.layers.values()):,} prunable weights in "
            f"{len(inputs.layers)} layers",
            f"Search     {config.sampler} over the {config.space} space, {config.trials} trials, "
            f"time budget {budget}",
            f"Bounds     accuracy drop {drop}, compression >= {compression}",
            f"Trainings  {counts['dense']} dense (1 target, {counts['dense'] - 1} references), "
            f"{counts['search']} search, {counts['references']} pruned references, "
            f"{counts['confirm']} confirmations, {counts['audit']} audit shadows",
            f"Machine    {resources.concurrency} at a time, each {resources.cpus_per_trial:g} "
            f"cores and {resources.gpus_per_trial:g} GPUs",
            f"Cost       {operations:.1e} floating-point operations, on the order of "
            f"{max(minutes, 0.1):.1f} minutes plus the attacks (assumed rate {rate:.0e}/s a trial)",
            "Nothing was trained and nothing was written.",
        ]
    )
