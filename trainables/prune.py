"""Prunes any network to given counts {n_i}: no Ray, no search, no files.

Five lines from Python, in a notebook too:

>>> network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
>>> images, labels = torch.randn(40, 1, 4, 4), torch.arange(40) % 2
>>> pruned = prune(network, [32, 8], images, labels)
>>> [int(weight.count_nonzero()) for weight in prunable_layers(pruned).values()]
[32, 8]
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.device_rows import DeviceRows
from trainables.foreign_code import said
from trainables.models.fitting import logits_of
from trainables.models.prunable import masked_layers, prunable_layers
from trainables.pruning.masks import Masks
from trainables.runs.pruning import PruningRun

RECIPE = ADMMConfig(
    iterations=2,
    epochs_per_iteration=3,
    rho=1e-2,
    learning_rate=8e-3,
    retrain_epochs=5,
    retrain_learning_rate=1.5e-3,
    weight_decay=0.8,
)
"""mnist5k's, for small data; search/recipes.py has others, and says why these numbers."""

PRUNERS = ("admm", "magnitude")
"""Those that need no more than a trained network: a lottery ticket needs its initial weights."""

Counts = Sequence[int] | Mapping[str, int]
"""{n_i} in the order of `prunable_layers`, or by their names there."""


def prune(
    network: nn.Module,
    counts: Counts,
    images: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    *,
    pruner: str = "admm",
    recipe: ADMMConfig = RECIPE,
    batch_size: int = 32,
    optimizer: str = "adam",
    seed: int = 0,
) -> nn.Module:
    """A copy of the network pruned to exactly n_i weights in each layer and trained with them.

    counts: {n_i} of its `prunable_layers`.  images: (n, ...) what it was trained on, as it takes
    them, normalised.  labels: (n,) classes from 0.  pruner: admm, or magnitude, which prunes at
    once and then trains for as many epochs.  recipe: rates and epochs.  optimizer: adam or sgd.
    Raises InvalidInput for counts, images or networks that do not fit.
    """
    known(pruner, PRUNERS, "pruner")
    kept = _counts(network, counts)
    made, batches = copy.deepcopy(network), _batches(network, images, labels)
    handle = made.register_forward_hook(lambda _network, _images, output: logits_of(output).float())
    everything = torch.arange(len(batches.labels), device=batches.labels.device)
    none = everything[:0]
    cohort = Cohort(
        images=batches,
        members=everything,
        non_members=none,
        validation=everything[:1],  # a run's last epoch looks at it; nothing is decided by it
        test=none,
        reserve=none,
        population=none,
        audited=everything,
    )
    config = TrialConfig(
        kind="reference",  # whose epochs are not recorded
        number=0,
        run_seed=seed,
        seed=seed,
        dataset="",
        model="",
        n=kept,
        pruner=pruner,
        training=TrainingConfig(epochs=1, batch_size=batch_size, optimizer=optimizer),
        admm=recipe,
        attack=AttackConfig(),
    )
    with said("the network cannot be pruned", made):
        run = PruningRun(config, cohort, network.state_dict(), initial_seed=seed, network=made)
        while not run.finished:
            run.advance()
    handle.remove()
    return made.train(network.training)


def prune_once(network: nn.Module, counts: Counts) -> nn.Module:
    """A copy that keeps the n_i largest weights of each layer, without any training.

    Raises InvalidInput for counts that do not fit.

    >>> layer = nn.Linear(4, 2)
    >>> int(prune_once(layer, {"weight": 3}).weight.count_nonzero())
    3
    """
    kept = _counts(network, counts)
    made = copy.deepcopy(network)
    Masks.of_largest(prunable_layers(made), kept).apply()
    return made


def _counts(network: nn.Module, counts: Counts) -> tuple[int, ...]:
    """{n_i} in the network's order."""
    layers = {name: weight.numel() for name, weight in prunable_layers(network).items()}
    if masked := masked_layers(network):
        raise InvalidInput(
            f"layer {masked[0]!r} has a mask of torch.nn.utils.prune: make it permanent with "
            "torch.nn.utils.prune.remove"
        )
    if not layers:
        raise InvalidInput("the network has no weight to prune: give it layers that are trained")
    names = ", ".join(f"{name} {size:,}" for name, size in layers.items())
    if isinstance(counts, Mapping):
        if odd := sorted(counts.keys() ^ layers.keys()):
            raise InvalidInput(f"counts and layers differ in {odd[0]!r}: the layers are {names}")
        kept = [counts[name] for name in layers]
    else:
        kept = list(counts)
    if len(kept) != len(layers):
        raise InvalidInput(f"{len(kept)} counts for {len(layers)} layers: they are {names}")
    for (name, size), count in zip(layers.items(), kept, strict=True):
        if int(count) != count or not 1 <= count <= size:
            raise InvalidInput(
                f"count {count} of layer {name!r}: give a whole number from 1 to {size}"
            )
    return tuple(int(count) for count in kept)


def _batches(
    network: nn.Module, images: Tensor | ArrayLike, labels: Tensor | ArrayLike
) -> DeviceRows:
    """Images and labels on the network's device."""
    device = next(network.parameters()).device
    inputs, classes = (torch.as_tensor(given, device=device) for given in (images, labels))
    if inputs.dim() < 1 or len(inputs) < 2 or classes.shape != inputs.shape[:1]:
        raise InvalidInput(
            f"labels {tuple(classes.shape)} do not fit images {tuple(inputs.shape)}: give one "
            "class for each of at least two images"
        )
    whole = classes.to(torch.int64)
    if not torch.equal(whole.to(classes.dtype), classes) or int(whole.min()) < 0:
        raise InvalidInput("the labels must be whole numbers from 0, a class for each image")
    return DeviceRows(inputs, whole)
