"""A user's own networks, data sets and defences: one file that registers them, on every machine.

The file's text travels to the workers, with the modules beside it that it imports, and the hash of
all of them is part of the run's settings.
"""

import dataclasses
import functools
import hashlib
import json
import math
import operator
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from trainables.base.errors import InvalidInput
from trainables.base.seeding import seeded_globals
from trainables.beside import RULE, BesideLoader, Files, files_beside
from trainables.config import MOST_EXACT, ADMMConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.pairs import Pairs, Shape, collected
from trainables.data.registry import DATASETS, EVEN, DatasetSpec
from trainables.defenses.recipe import RECIPE
from trainables.defenses.registry import DEFENSES, Defense, Parameter
from trainables.models.prunable import masked_layers, prunable_layers, unpruned_weights
from trainables.models.registry import MODELS, ModelSpec
from trainables.runs.protocol import Run
from trainables.runs.start import Builder, Start

MOST_CLASSES = 1_000_000
MOST_PIXELS = 2**24
"""The most classes, and the most values in an image; more is likelier a slip than a data set."""

LARGEST = 1e6
"""The largest mean or standard deviation that a data set may state for pixels in [0, 1]."""

EVERY_DEFENSE = "all"
"""What --defense takes for all of them; no defence may be called so."""

_REGISTRIES: tuple[dict[str, Any], ...] = (MODELS, DATASETS, DEFENSES)
"""Where a plugin may add entries."""

_LOADED: set[str] = set()
"""The hashes of the plugins that this process has already run."""


def register_model(name: str, make: Callable[[int, Shape], nn.Module]) -> None:
    """Let `--model name` mean `make(n_classes, (channels, height, width))`, which gives logits.

    The matrices and kernels of torch's own layers are pruned (trainables/models/prunable.py).
    Raises InvalidInput when the name is taken.
    """
    _require_free(name, MODELS, "model")
    build = functools.partial(_build, name, make)
    MODELS[name] = ModelSpec(build=build, sides=None, foreign=True)


def register_dataset(
    name: str,
    make: Callable[[Path], Pairs],
    *,
    n_classes: int,
    image_shape: Shape,
    default_model: str,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    training: TrainingConfig | None = None,
    admm: ADMMConfig | None = None,
) -> None:
    """Let `--dataset name` mean `make(folder of --data-dir)`.

    make: returns a `torch.utils.data.Dataset` of (image, label), where the image is a uint8 tensor
    of `image_shape` without augmentation; all of it is held in memory.  mean, std: one value per
    channel, for pixels in [0, 1] [0.5, 0.25].  training, admm: the recipe [that of mnist5k].
    Raises InvalidInput when the name is taken or the description cannot be used.
    """
    _require_free(name, DATASETS, "data set")
    _require_description(name, n_classes, image_shape, default_model)
    channels = image_shape[0]
    for what, values in (("mean", mean), ("std", std)):
        if values is not None and not _are_numbers(values, channels, positive=what == "std"):
            raise InvalidInput(
                f"data set {name!r}: {what} {values!r} must be a number for each of {channels} "
                f"channels{', above 0' if what == 'std' else ''}"
            )
    for what, given, kind in (
        ("training", training, TrainingConfig),
        ("admm", admm, ADMMConfig),
    ):
        if given is not None and not isinstance(given, kind):
            raise InvalidInput(
                f"data set {name!r}: {what} must be a {kind.__name__} of trainables.config, not "
                f"{type(given).__name__}"
            )
    DATASETS[name] = DatasetSpec(
        n_classes=n_classes,
        image_shape=image_shape,
        mean=tuple(mean or (0.5,) * channels),
        std=tuple(std or (0.25,) * channels),
        fractions=EVEN,
        default_model=default_model,
        load=lambda folder: collected(name, make, folder, n_classes, image_shape),
        training=training,
        admm=admm,
    )


def register_defense(
    name: str,
    make: Builder,
    *,
    parameters: Mapping[str, Parameter] | None = None,
    prunes: bool = False,
    cost: float = 1.0,
) -> None:
    """Let `--defense name` mean the models that `make(trial, cohort, start)` trains.

    make: returns a `trainables.runs.protocol.Run`, a resumable sequence of epochs on
    `cohort.members` that gives the same model for the same `trial.seed`; most are a
    `trainables.runs.dense.DenseRun` with a loss of their own, others subclass
    `trainables.runs.epochs.EpochRun`.  `trial.parameters` holds the defence's numbers, and
    `start.weights` the run's dense model, from which it may begin.  parameters: the numbers that
    the search chooses, or that --set fixes.  prunes: whether {n_i} is searched too; the model must
    then have at most `trial.n` non-zero weights in each layer.  cost: of a model, in trainings by
    the recipe (for the plan alone).
    Raises InvalidInput when the name is taken or the description cannot be used.
    """
    _require_free(name, {**DEFENSES, EVERY_DEFENSE: None}, "defence")
    if not callable(make):
        raise InvalidInput(
            f"defence {name!r}: {make!r} cannot be called: give a function of (trial, cohort, "
            "start) that returns a run"
        )
    if type(cost) not in (int, float) or not 0 < cost <= LARGEST:
        raise InvalidInput(f"defence {name!r}: cost {cost!r} must be a number above 0")
    numbers = dict(parameters or {})
    for number, described in numbers.items():
        _require_number(name, number, described)
    DEFENSES[name] = Defense(
        builder=functools.partial(_made, name, make),
        foreign=True,
        cost=functools.partial(_passes, cost),
        prunes=prunes,
        from_scratch=not prunes,
        parameters=numbers,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """A user's file as it was read, with the modules that it imports from its own folder."""

    path: str
    text: str
    beside: Files = ()

    @classmethod
    def read(cls, path: Path) -> "Plugin":
        """Read a file. Raises InvalidInput when it, or a module it imports, cannot be sent."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
            raise InvalidInput(f"--plugin {path} cannot be read: {cause}") from error
        return cls(path=str(path), text=text, beside=files_beside(path, text))

    @property
    def sha256(self) -> str:
        """The hash of the text, and of every path and text beside it if there are any."""
        whole = json.dumps([self.text, self.beside]) if self.beside else self.text
        return hashlib.sha256(whole.encode()).hexdigest()

    def load(self) -> None:
        """Run the text once per process. Raises InvalidInput when it fails or registers nothing."""
        if self.sha256 in _LOADED:
            return
        before = [{**registry} for registry in _REGISTRIES]
        modules = BesideLoader(Path(self.path).parent, self.beside)
        modules.install()
        try:
            self._run()
            self._require_news(before)
        except InvalidInput:
            modules.remove()
            for registry, entries in zip(_REGISTRIES, before, strict=True):
                registry.clear()
                registry.update(entries)
            raise
        _LOADED.add(self.sha256)

    def _require_news(self, before: list[dict[str, Any]]) -> None:
        if all(map(operator.eq, _REGISTRIES, before)):
            raise InvalidInput(
                f"--plugin {self.path} registers nothing: call register_model, register_dataset or "
                "register_defense of trainables.plugin in it"
            )

    def _run(self) -> None:
        module = types.ModuleType(f"plugin_{self.sha256[:16]}")
        module.__file__ = self.path
        sys.modules[module.__name__] = module  # where pickle and dataclasses look
        try:
            with seeded_globals(0, "plugin"):  # what it draws is the same in every process
                exec(compile(self.text, self.path, "exec"), module.__dict__)
        except InvalidInput as error:
            raise InvalidInput(f"--plugin {self.path}: {error}") from error
        except (Exception, SystemExit) as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            rule = f"; {RULE}" if isinstance(error, ImportError) else ""
            raise InvalidInput(f"--plugin {self.path} cannot be imported: {cause}{rule}") from error


def _require_description(
    name: str, n_classes: object, image_shape: object, default_model: object
) -> None:
    if not _is_count(n_classes, MOST_CLASSES) or n_classes == 1:
        raise InvalidInput(
            f"data set {name!r}: n_classes {n_classes!r} must be a whole number from 2 to "
            f"{MOST_CLASSES:,}"
        )
    if (
        not isinstance(image_shape, tuple)
        or len(image_shape) != 3
        or not all(_is_count(size, MOST_PIXELS) for size in image_shape)
        or math.prod(image_shape) > MOST_PIXELS
    ):
        raise InvalidInput(
            f"data set {name!r}: image_shape {image_shape!r} must be (channels, height, width), "
            f"together at most {MOST_PIXELS:,}"
        )
    if not isinstance(default_model, str):
        raise InvalidInput(f"data set {name!r}: default_model {default_model!r} must be a name")


def _require_number(name: str, number: object, described: object) -> None:
    """Refuse a number of a defence that a search could not choose or --set not name."""
    said = f"defence {name!r}: parameter {number!r}"
    if not isinstance(number, str) or not re.fullmatch("[a-z][a-z0-9_]*", number):
        raise InvalidInput(f"{said}: a name is small letters, digits and _, a letter first")
    if number in RECIPE or number == "epochs":
        raise InvalidInput(f"{said} is a number of the recipe: choose another name")
    if not isinstance(described, Parameter):
        raise InvalidInput(
            f"{said} must be a Parameter of trainables.plugin, not {type(described).__name__}"
        )
    ends = described.low, described.default, described.high
    if not all(type(end) in (int, float) and 0 < end <= MOST_EXACT for end in ends):
        raise InvalidInput(f"{said}: low, default and high must be numbers above 0, got {ends}")
    if not described.low <= described.default <= described.high:
        raise InvalidInput(f"{said}: {ends} are not low <= default <= high")
    if described.searched and described.low == described.high:
        raise InvalidInput(f"{said} is searched between equal ends: give searched=False")
    if described.integer and any(end != int(end) for end in ends):
        raise InvalidInput(f"{said} is a whole number, got {ends}")


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _are_numbers(values: object, count: int, *, positive: bool) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) <= LARGEST for value in values)
        and (not positive or min(values) > 0)
    )


def _require_free(name: str, registry: Mapping[str, object], what: str) -> None:
    if not re.fullmatch("[a-z0-9_]+", name):
        raise InvalidInput(f"{what} {name!r}: a name is small letters, digits and _")
    if name in registry:
        raise InvalidInput(f"{what} {name!r} exists already: choose another name")


def _passes(cost: float, passes: float, _numbers: Mapping[str, float]) -> float:
    return cost * passes


def _made(name: str, make: Builder, trial: TrialConfig, cohort: Cohort, start: Start) -> Run:
    """The user's run. Raises InvalidInput for anything that is none."""
    run = make(trial, cohort, start)
    if not isinstance(run, Run):
        raise InvalidInput(
            f"defence {name!r} makes no run but {type(run).__name__}: return one with all that "
            "trainables.runs.protocol.Run has, such as a trainables.runs.dense.DenseRun"
        )
    return run


def _build(
    name: str, make: Callable[[int, Shape], nn.Module], n_classes: int, image_shape: Shape
) -> nn.Module:
    try:
        network = make(n_classes, image_shape)
    except (Exception, SystemExit) as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidInput(f"model {name!r} cannot be made: {cause}") from error
    if not isinstance(network, nn.Module):
        raise InvalidInput(
            f"model {name!r} is not an nn.Module but {type(network).__name__}: return the network"
        )
    if any(map(is_lazy, network.parameters())):
        raise InvalidInput(
            f"model {name!r} has a lazy layer, whose weights cannot be counted: give its sizes"
        )
    if any(hasattr(module, "_orig_mod") for module in network.modules()):
        raise InvalidInput(
            f"model {name!r} is made by torch.compile, which hides its layers: register it without"
        )
    masked = masked_layers(network)
    if masked:
        raise InvalidInput(
            f"model {name!r}: layer {masked[0]!r} has a mask of torch.nn.utils.prune, so that its "
            "parameter is not its weight: make it permanent with torch.nn.utils.prune.remove"
        )
    if not prunable_layers(network):
        left = [f"{weight}: {why}" for weight, why in unpruned_weights(network).items()]
        raise InvalidInput(
            f"model {name!r} has no weight to prune ({'; '.join(left[:3]) or 'it has no layers'}): "
            "give it Linear, convolutional, recurrent or attention layers that are trained"
        )
    return network
