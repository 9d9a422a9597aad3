"""Try a user's network on the real path, with a few records, before anything is trained or written.

The rehearsal finds in seconds whatever a network cannot bear, and says it in one line.  The records
are random and as few as the path allows.  It ends where the attacks begin, which see only logits.
"""

import dataclasses
import io
import itertools
import pkgutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput
from trainables.base.seeding import numpy_generator
from trainables.builds import require_sound_builds
from trainables.config import TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort
from trainables.data.images import Images, Rows
from trainables.data.registry import DATASETS, DatasetSpec
from trainables.data.split import PARTS, Split
from trainables.defenses.registry import DEFENSES
from trainables.foreign_code import answers, random_images, said
from trainables.measure import evidence_of, released_logits, size
from trainables.models.macs import count_macs
from trainables.models.prunable import prunable_layers
from trainables.models.registry import MODELS
from trainables.models.weights import read_weights, save_weights
from trainables.runs.dense import LoadedDense, dense_run
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.start import Start

LARGEST_BATCH = 8
"""The most images in a step of the rehearsal; the last has two, the least that a pass takes."""

MANY, FEW = 4, 2
"""The number of full batches for a light and for a heavy network."""

HEAVY = 50_000_000
"""The multiply-accumulates per image above which a rehearsal with many batches takes a minute."""

PRETRAINED = (
    "The networks started from weights that no seed moves, and whoever started the run said "
    "(--pretrained-start) that these weights never saw any of its data"
)
"""The sentence in config.json, the report and the card of a run with --pretrained-start."""


def rehearse(config: TrialConfig, *, pretrained_start: bool = False) -> None:
    """Raise InvalidInput, one line, unless the network in `config` survives every step of a run.

    config: any trial of the run; its budgets are cut to a few steps.  pretrained_start: whether
    the user says that weights which no seed changes never saw the data.
    """
    network = require_sound_builds(config, pretrained_start=pretrained_start)
    if not MODELS[config.model].foreign:
        return
    spec = DATASETS[config.dataset]
    small, cohort = _few_steps(config, network, spec)
    images = cohort.images.batch(cohort.audited)
    before = answers(network, images)
    with tempfile.TemporaryDirectory() as folder:
        dense = _dense(small, cohort, Path(folder) / "dense.safetensors")
        _candidate(small, cohort, dense)
    if not torch.equal(before, answers(network, images)):
        raise InvalidInput(
            f"model {config.model!r}: training one network changed the answers of another: it "
            "keeps state outside of the module (a global, a class attribute or a closure); keep "
            "it in parameters and buffers"
        )


def _few_steps(
    config: TrialConfig, network: nn.Module, spec: DatasetSpec
) -> tuple[TrialConfig, Cohort]:
    """The trial with its budgets cut to a few steps, and random images for it."""
    batch = min(config.training.batch_size, LARGEST_BATCH)
    heavy = count_macs(network, spec.image_shape).total > HEAVY
    members = (FEW if heavy else MANY) * batch + 2
    admm = dataclasses.replace(config.admm, iterations=2, epochs_per_iteration=1, retrain_epochs=1)
    short = {"epochs": 1.0} if "epochs" in config.parameters else {}
    small = dataclasses.replace(
        config,
        n=tuple(max(1, w.numel() // 2) for w in prunable_layers(network).values()),
        training=dataclasses.replace(config.training, epochs=1, batch_size=batch),
        admm=admm,
        parameters={**config.parameters, **short},
    )
    sizes = [members, members, 4, 4, 2 * batch + 2]
    ends = np.cumsum([0, *sizes])
    parts = [np.arange(low, high) for low, high in itertools.pairwise(ends)]
    images = _random(spec, int(ends[-1]))
    device = torch.device("cpu")
    split = Split(**dict(zip(PARTS, parts, strict=True)))
    return small, Cohort.of(on_device(images, spec, device, 0), split, device)


def _random(spec: DatasetSpec, count: int) -> Images | Rows:
    """`count` random records with the labels 0 and 1 in turn."""
    labels = np.arange(count, dtype=np.int64) % 2
    if spec.as_given:
        return Rows(random_images(spec, count).numpy(), labels)
    generator = numpy_generator(0, "rehearsal")
    pixels = generator.integers(256, size=(count, *spec.image_shape), dtype=np.uint8)
    return Images(pixels, labels)


def _dense(config: TrialConfig, cohort: Cohort, file: Path) -> dict[str, Tensor]:
    """Train a dense model, write it, read it, check that it answers as before; its weights."""
    name = config.model
    plain = dataclasses.replace(config, kind="reference", defense="none", n=())
    run = dense_run(plain, cohort)
    with said(f"model {name!r} fails while it is trained", run.model):
        while not run.finished:
            run.advance()
        trained = run.predict(cohort.audited)
    with said(f"model {name!r} cannot be written and read again"):
        save_weights(run.model, file)
        weights = read_weights(file)
        loaded = LoadedDense(dataclasses.replace(plain, seed=config.seed + 1), cohort, weights)
        measured = loaded.predict(cohort.audited)
    if not torch.equal(trained, measured):
        raise InvalidInput(
            f"model {name!r}: after training, its weights loaded into a new build answer "
            "differently: it keeps state that the state dict does not hold (an attribute that "
            "training changes); keep it with register_buffer"
        )
    return weights


def _candidate(config: TrialConfig, cohort: Cohort, dense: dict[str, Tensor]) -> None:
    """Run one candidate of the defence from its start to its figures, with one interruption."""
    what = f"model {config.model!r} fails with --defense {config.defense}"
    start = Start(weights=dense, seed=0)
    shape = DATASETS[config.dataset].image_shape
    with said(what):
        run = new_run(config, cohort, start)
    _require_guarantee(what, config.defense, run, cohort)
    with said(what, run.model):
        if not run.finished:
            run.advance()
        run = _resumed(run, new_run(config, cohort, start))
    with said(what, run.model):
        while not run.finished:
            run.advance()
        size(run.model, shape, config.defense)
        evidence_of(released_logits(run, cohort.audited), cohort)
        with tempfile.TemporaryDirectory() as folder:
            save_weights(run.model, Path(folder) / "model.safetensors")


def _require_guarantee(what: str, defense: str, run: Run, cohort: Cohort) -> None:
    check = DEFENSES[defense].rehearsal
    if check is None:
        return
    require = pkgutil.resolve_name(check)  # only now: Opacus costs a second
    images = cohort.members
    with said(what, run.model):
        require(run, cohort.images.batch(images), cohort.images.labels[images])


def _resumed(run: Run, other: Run) -> Run:
    """Bring `other` to where `run` is by way of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(run.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other
