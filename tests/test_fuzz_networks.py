"""300 networks of a grammar: each gives true numbers through a run, or is refused in one line.

A run of the tests takes a third of them, the next day's another.
"""

import dataclasses
import datetime
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from search.recipes import recipe as settings_of
from tests.grammar import Recipe, draw, factory
from trainables.base.errors import InvalidInput
from trainables.config import TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.data.split import PARTS, Split
from trainables.defenses.dp import quiet_hooks
from trainables.defenses.registry import DEFENSES
from trainables.measure import size
from trainables.models.prunable import prunable_layers
from trainables.models.registry import MODELS
from trainables.models.weights import read_weights, save_weights
from trainables.plugin import register_dataset, register_model
from trainables.rehearsal import rehearse
from trainables.runs.dense import DenseRun, LoadedDense
from trainables.runs.dp import PrivateRun
from trainables.runs.pruning import PruningRun
from trainables.training import accuracy

NETWORKS, AT_A_TIME = 300, 25
EVERY_DAY = NETWORKS // 3
CLASSES, SHAPE = 4, (1, 8, 8)
BATCH, MEMBERS = 8, 33
"""The last batch would have one image."""


@pytest.fixture(autouse=True)
def registries_as_before():
    """What a test registers is gone after it."""
    saved = {**MODELS}, {**DATASETS}
    register_dataset(
        "tiny", lambda folder: [], n_classes=CLASSES, image_shape=SHAPE, default_model="drawn"
    )
    yield
    for registry, before in zip((MODELS, DATASETS), saved, strict=True):
        registry.clear()
        registry.update(before)


def trial(**changes: object) -> TrialConfig:
    settings = settings_of("mnist5k", "lenet5")
    whole = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=3,
        dataset="tiny",
        model="drawn",
        n=(),
        training=dataclasses.replace(settings.training, epochs=2, batch_size=BATCH),
        admm=dataclasses.replace(
            settings.admm, iterations=1, epochs_per_iteration=1, retrain_epochs=1
        ),
        attack=settings.attack,
    )
    return dataclasses.replace(whole, **changes)


def cohort() -> Cohort:
    generator = np.random.default_rng(0)
    ends = np.cumsum([0, MEMBERS, MEMBERS, 12, 12, 12])
    parts = [np.arange(low, high) for low, high in itertools.pairwise(ends)]
    labels = np.arange(ends[-1], dtype=np.int64) % CLASSES
    pixels = generator.integers(256, size=(len(labels), *SHAPE), dtype=np.uint8)
    pixels[np.arange(len(labels)), 0, 0, labels] = 255  # something to learn
    cpu = torch.device("cpu")
    split = Split(**dict(zip(PARTS, parts, strict=True)))
    return Cohort.of(on_device(Images(pixels, labels), DATASETS["tiny"], cpu, 0), split, cpu)


def finished(run):
    while not run.finished:
        record = run.advance()
    return record


def require_true_numbers(folder) -> None:
    """Dense accuracy as trained = as measured, and the counts of {n_i} exact, on disk too."""
    data, file = cohort(), folder / "dense.safetensors"
    dense = DenseRun(trial(kind="reference", defense="none"), data)
    trained = finished(dense)
    save_weights(dense.model, file)
    weights = read_weights(file)
    measured = LoadedDense(trial(seed=9), data, weights)
    assert accuracy(measured.model, data.images, data.validation) == trained.val_accuracy
    assert torch.equal(measured.predict(data.audited), dense.predict(data.audited))
    layers = prunable_layers(dense.model)
    n = tuple(max(1, weight.numel() // 3) for weight in layers.values())
    run = PruningRun(trial(n=n), data, weights, initial_seed=3)
    finished(run)
    found = size(run.model, SHAPE, "pruning")
    kept = {name: int(mask.sum()) for name, mask in run.masks.items()}
    assert tuple(kept.values()) == n
    assert found["nonzero"] <= sum(n)  # a kept weight may be 0 by itself
    save_weights(run.model, file)
    stored = load_file(file)
    own = {name for name, _ in run.model.named_parameters()} & stored.keys()
    assert sum(stored[name].numel() for name in own) == found["parameters"]
    zeros = sum(int((stored[name] == 0).sum()) for name in own)
    assert zeros >= found["weights"] - sum(n)


def clipped_sum(run: PrivateRun, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What DP-SGD adds its noise to, for a loss so large that every image is clipped."""
    optimizer, module = run._private.optimizer, run._private.module
    optimizer.zero_grad()
    with torch.random.fork_rng(), quiet_hooks():  # the same dropout whichever images there are
        torch.manual_seed(0)  # noqa: TID251 - as above
        (len(labels) * 1e4 * functional.cross_entropy(module(images), labels)).backward()
    optimizer.clip_and_accumulate()
    return torch.cat([weight.summed_grad.flatten() for weight in optimizer.params])


def require_sensitivity(config: TrialConfig, *, draws: bool) -> None:
    """No image adds more than the clip: alone, and beside others where nothing is drawn."""
    data = cohort()
    run = PrivateRun(config, data)
    run._private.module.train()
    clip = config.parameters["clip"] * (1 + 1e-4)
    images, labels = data.images.batch(data.members[:3]), data.images.labels[data.members[:3]]
    assert float(clipped_sum(run, images[:1], labels[:1]).norm()) <= clip
    if draws:
        return
    whole, rest = clipped_sum(run, images, labels), clipped_sum(run, images[1:], labels[1:])
    assert float((whole - rest).norm()) <= clip


def outcome(recipe: Recipe, folder) -> str:
    """Whether the network ran or was refused; whatever else it does is an error of ours."""
    MODELS.pop("drawn", None)
    register_model("drawn", factory(recipe))
    said = refusal(trial(n=()))
    if said is None:
        require_true_numbers(folder)
        numbers = DEFENSES["dp"].numbers(2, "adam")
        private = trial(
            defense="dp", parameters={name: number.default for name, number in numbers.items()}
        )
        if refusal(private) is not None:
            return "ran, but not with dp"
        require_sensitivity(private, draws=bool({"dropout", "layer_drop"} & {*recipe.blocks}))
        return "ran"
    assert "\n" not in said
    assert len(said) < 800
    return "refused"


def refusal(config: TrialConfig) -> str | None:
    try:
        rehearse(config)
    except InvalidInput as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(EVERY_DAY // AT_A_TIME))
def test_every_network_runs_with_true_numbers_or_is_refused_beforehand(part, tmp_path) -> None:
    seen: Counter[tuple[bool, str]] = Counter()
    today = datetime.datetime.now(tz=datetime.UTC).toordinal()
    first = today * EVERY_DAY % NETWORKS + part * AT_A_TIME
    for seed in range(first, first + AT_A_TIME):
        recipe = draw(seed)
        try:
            ended = outcome(recipe, tmp_path)
        except Exception as error:
            raise AssertionError(f"network {seed}, {recipe}") from error
        if recipe.fault is not None:
            assert ended == "refused", f"network {seed}, {recipe}"
        if recipe.mixes_batch:
            assert ended != "ran", f"network {seed}, {recipe}"
        seen[recipe.fault is not None, ended] += 1
    assert seen[False, "ran"] > 0
    assert seen[False, "ran"] + seen[False, "ran, but not with dp"] > AT_A_TIME / 2
