"""A winner's weights, and who compares and attacks the forms that are made of them."""

import dataclasses
import functools
import io
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from search.inputs import Inputs
from search.record.runfolder import RunFolder
from search.search_options import SearchConfig
from trainables.as_shipped import Examiner, Outputs
from trainables.attacks.digest import read_digest, stacked
from trainables.attacks.evidence import DigestedReferences
from trainables.base.errors import InvalidInput, one_line
from trainables.base.seeding import derive_seed
from trainables.base.storage import Place, children
from trainables.config import TARGETS_PAIR
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, halves_of_models
from trainables.data.registry import DATASETS, DatasetSpec
from trainables.defenses.registry import DEFENSES
from trainables.foreign_code import random_images, said
from trainables.models.building import build_model
from trainables.models.weights import load_weights
from trainables.ship.dead_channels import without_dead_channels
from trainables.trial import DIGEST_FILE, MODEL_FILE

FIRST_ROUNDS = re.compile(r"references-(\d+|comparators)")
"""The stages that make the references of vectors which may win."""

Record = dict[str, Any]
"""file, stored, ships, bytes, dense_bytes, the fields of AsShipped and, of a form without dead
channels, `taken`: layer -> how many are gone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Winner:
    """A winner's weights, and who examines the forms that are made of them."""

    config: SearchConfig
    weights: Mapping[str, Tensor]
    weights_bytes: int
    examiner: Examiner
    device: torch.device

    @property
    def spec(self) -> DatasetSpec:
        """Of the data set."""
        return DATASETS[self.config.dataset]

    def network(self, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network with these weights [its own], on the CPU."""
        spec = self.spec
        network = build_model(
            self.config.model,
            n_classes=spec.n_classes,
            image_shape=spec.image_shape,
            n_tokens=spec.n_tokens,
            seed=0,
        )
        try:
            load_weights(network, self.weights if weights is None else weights)
        except (RuntimeError, ValueError) as error:  # torch's own of other shapes
            cause = one_line(error)[:200]
            raise InvalidInput(f"{MODEL_FILE} is not of {self.config.model}: {cause}") from error
        return network

    def answers(self, file: str, network: nn.Module) -> Outputs:
        """Of a form. Raises InvalidInput where a user's network fails in it."""
        with said(f"{file} cannot be run", network):
            return self.examiner.outputs(network)

    @functools.cached_property
    def original(self) -> Outputs:
        """What the weights answer that the confirmation measured."""
        return self.answers(MODEL_FILE, self.network().to(self.device))

    @property
    def precision(self) -> str:
        """How the weights are stored that the confirmation measured."""
        floats = {weight.dtype for weight in self.weights.values() if weight.is_floating_point()}
        return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in floats))

    @functools.cached_property
    def example(self) -> Tensor:
        """Two records at random, of which exporters learn the shape."""
        return random_images(self.spec, 2).contiguous()

    @functools.cached_property
    def smaller(self) -> tuple[nn.Module, dict[str, int]]:
        """The network without dead channels, and how many of each layer are gone."""
        return without_dead_channels(self.network(), self.example)

    @property
    def dense_bytes(self) -> int:
        """Of all its numbers as float32, the zeros too."""
        return 4 * sum(weight.numel() for weight in self.weights.values())

    def record(self, file: str, stored: str, size: int, form: Outputs, **more: object) -> Record:
        """The measured figures of one form. Raises InvalidInput where they cannot be attacked."""
        try:
            found = dataclasses.asdict(self.examiner.measured(form, self.original))
        except ValueError as error:
            raise InvalidInput(f"{file} cannot be attacked: {error}") from error
        head = {"file": file, "stored": stored, "ships": True, "bytes": size}
        return {**head, "dense_bytes": self.dense_bytes, **found, **more}

    def own_record(self) -> Record:
        """Of the weights themselves, which every form is compared with."""
        return self.record(MODEL_FILE, self.precision, self.weights_bytes, self.original)


def winner_of(
    config: SearchConfig,
    inputs: Inputs,
    folder: RunFolder,
    target: Place,
    trial_id: str,
    device: str = "cpu",
) -> Winner:
    """The winner whose weights lie in `target`, RUN/winner or RUN/front/LEVEL.

    trial_id: of its confirm trial.  device: where its answers are computed, cpu or cuda.  Raises
    InvalidInput where weights alone are not what was measured, or the file is damaged.
    """
    entry = DEFENSES[config.defense]
    if entry.network or entry.on_weights is not None:
        raise InvalidInput(
            f"{target / MODEL_FILE} is not all of what --defense {config.defense} releases: only "
            "networks that answer for themselves are exported"
        )
    content = (target / MODEL_FILE).read_bytes()
    where = torch.device(device)
    images = on_device(
        inputs.images, DATASETS[config.dataset], where, decoders=(os.cpu_count() or 1)
    )
    return Winner(
        config=config,
        weights=_read(content, target / MODEL_FILE),
        weights_bytes=len(content),
        device=where,
        examiner=Examiner(
            cohort=Cohort.of(images, inputs.split, where),
            attack=config.attack,
            seed=derive_seed(config.seed, "confirm-0"),  # as its confirmation was attacked
            reference=_references(config, inputs, folder.tune, trial_id),
        ),
    )


def _read(content: bytes, file: Place) -> dict[str, Tensor]:
    """The weights by name: safetensors hands them over in any order."""
    try:
        return dict(sorted(load(content).items()))
    except Exception as error:  # safetensors' own is a plain Exception
        raise InvalidInput(
            f"{file} is damaged ({one_line(error)[:200]}): `--resume` of the run writes it again"
        ) from error


def _references(
    config: SearchConfig, inputs: Inputs, tune: Place, trial_id: str
) -> DigestedReferences | None:
    """The models that attacked this winner in its confirmation; None where they are gone.

    The first round's stages only: `references-0`, not `references-0-32` of models added later;
    and those of the published allocations, which are numbered after the rounds.
    """
    models = config.first_models_each
    first = int(trial_id.rpartition("-")[2]) * models
    names = [f"reference-{first + half:04d}" for half in range(TARGETS_PAIR, models)]
    stages = [one for one in children(tune) if FIRST_ROUNDS.fullmatch(one.name)]
    files = [
        [file for stage in stages for file in _digests_in(stage / name)][-1:] for name in names
    ]
    if not names or not all(files):
        return None
    digest = stacked([read_digest(io.BytesIO(file.read_bytes())) for (file,) in files])
    halves = halves_of_models(inputs.split, max(config.dense_models, TARGETS_PAIR), config.seed)
    return DigestedReferences(digest=digest, trained_on=halves[TARGETS_PAIR:models])


def _digests_in(trial: Place) -> list[Place]:
    """Of its checkpoints, the last one last."""
    files = [checkpoint / DIGEST_FILE for checkpoint in children(trial)]
    return [file for file in files if file.is_file()]
