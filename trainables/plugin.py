"""A user's own networks and data sets: one file of Python that registers them, on every machine.

The file's text travels to the workers, with the modules beside it that it imports, and the hash of
all of them is part of the run's settings.
"""

import dataclasses
import functools
import hashlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainables.base.errors import InvalidInput
from trainables.base.seeding import seeded_globals
from trainables.beside import RULE, BesideLoader, Files, files_beside
from trainables.data.own import register_dataset as register_dataset
from trainables.data.own import require_free
from trainables.data.registry import DATASETS
from trainables.models.prunable import masked_layers, prunable_layers, unpruned_weights
from trainables.models.registry import MODELS, ModelSpec, Shape

Training = Callable[[nn.Module, Tensor, Tensor, int, torch.device], nn.Module | None]
"""(network, images, labels, seed, device) -> the trained network."""

TRAININGS: list[Training] = []
"""How the user trains dense models; at most one."""

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
        models, datasets, trainings = {*MODELS}, {*DATASETS}, len(TRAININGS)
        modules = BesideLoader(Path(self.path).parent, self.beside)
        modules.install()
        try:
            self._run()
            if len(TRAININGS) == trainings:
                self._require_news(models, datasets)
        except InvalidInput:
            modules.remove()
            for name in MODELS.keys() - models:
                del MODELS[name]
            for name in DATASETS.keys() - datasets:
                del DATASETS[name]
            del TRAININGS[trainings:]
            raise
        _LOADED.add(self.sha256)

    def _require_news(self, models: set[str], datasets: set[str]) -> None:
        if MODELS.keys() == models and DATASETS.keys() == datasets:
            raise InvalidInput(
                f"--plugin {self.path} registers nothing: call register_model, register_dataset or "
                "register_training of trainables.plugin in it"
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
