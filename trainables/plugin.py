"""A user's own networks, data sets and defences: one file that registers them, on every machine.

The file's text travels to the workers, with the modules beside it that it imports, and the hash of
all of them is part of the run's settings.
"""

import dataclasses
import functools
import hashlib
import json
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
from trainables.config import MOST_EXACT, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.own import LARGEST, require_free
from trainables.data.own import register_dataset as register_dataset
from trainables.data.registry import DATASETS
from trainables.defenses.recipe import RECIPE
from trainables.defenses.registry import DEFENSES, Defense, Parameter
from trainables.models.prunable import masked_layers, prunable_layers, unpruned_weights
from trainables.models.registry import MODELS, ModelSpec, Shape
from trainables.own_training import TRAININGS, Training
from trainables.runs.protocol import Run
from trainables.runs.start import Builder, Start

EVERY_DEFENSE = "all"
"""What --defense takes for all of them; no defence may be called so."""

_REGISTRIES: tuple[dict[str, Any], ...] = (MODELS, DATASETS, DEFENSES)
"""Where a plugin may add entries."""

_LOADED: set[str] = set()
"""The hashes of the plugins that this process has already run."""


def register_model(name: str, make: Callable[[int, Shape], nn.Module]) -> None:
    """Let `--model name` mean `make(n_classes, shape of an item)`, which gives logits.

    The matrices and kernels of torch's own layers are pruned (trainables/models/prunable.py).
    Raises InvalidInput when the name is taken.
    """
    require_free(name, MODELS, "model")
    build = functools.partial(_build, name, make)
    MODELS[name] = ModelSpec(build=build, sides=None, foreign=True)


def register_training(train: Training) -> None:
    """Let `train` make every dense model: references must be trained as your network was.

    train: (network, images, labels, seed, device) -> the trained network, or None where it was
    trained in place.  images: (n, *image_shape) float32 on the device, normalised as the network
    gets them in every measurement; n differs between the rehearsal, with a few, and the run.
    labels: (n,) int64.  The global generators of torch, NumPy and Python are seeded by the model's
    seed.  A training that takes longer than --trial-timeout is ended.
    Raises InvalidInput when a training is registered already.
    """
    if TRAININGS:
        raise InvalidInput("register_training was called before: one function trains all models")
    TRAININGS.append(train)


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
    require_free(name, {**DEFENSES, EVERY_DEFENSE: None}, "defence")
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
        trainings = len(TRAININGS)
        modules = BesideLoader(Path(self.path).parent, self.beside)
        modules.install()
        try:
            self._run()
            if len(TRAININGS) == trainings:
                self._require_news(before)
        except InvalidInput:
            modules.remove()
            for registry, entries in zip(_REGISTRIES, before, strict=True):
                registry.clear()
                registry.update(entries)
            del TRAININGS[trainings:]
            raise
        _LOADED.add(self.sha256)

    def _require_news(self, before: list[dict[str, Any]]) -> None:
        if all(map(operator.eq, _REGISTRIES, before)):
            raise InvalidInput(
                f"--plugin {self.path} registers nothing: call register_model, register_dataset, "
                "register_defense or register_training of trainables.plugin in it"
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
