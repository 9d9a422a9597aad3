"""What a finished network answers on the images that it was, and was not, trained on."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from search.member_files import read_positions
from trainables.audit import require_enough
from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.data.batches import on_device
from trainables.data.images import Data
from trainables.data.registry import DATASETS, load_images
from trainables.data.split import Indices
from trainables.data.survey import survey_images
from trainables.foreign_code import said
from trainables.models.building import build_model, memory_format
from trainables.models.checkpoint import read_checkpoint
from trainables.models.onnx import SUFFIX, OnnxNetwork
from trainables.models.registry import MODELS
from trainables.models.weights import load_weights
from trainables.plugin import Plugin
from trainables.training import predict


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GivenNetwork:
    """A network as the command line names it."""

    weights: Path
    """safetensors, a state dict, or an ONNX file by its suffix."""

    dataset: str
    model: str | None
    """None for the data set's own; an ONNX file is its own network."""

    members: Path
    non_members: Path | None
    """None for all images that are no members."""

    plugin: Path | None
    data_dir: Path | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """A network's outputs on the images named, by ascending position in the data set."""

    outputs: NDArray[np.float32]
    """(n, classes)."""

    labels: NDArray[np.int64]
    is_member: NDArray[np.bool_]
    positions: Indices
    copies: Indices | None
    """(n,) equal for copies of one image; None where no two are."""

    notes: tuple[str, ...]
    """Sentences about the data."""


def answers_of(given: GivenNetwork) -> Answers:
    """Load data, network and lists, and run the network. Raises InvalidInput for what is wrong."""
    if given.plugin is not None:
        Plugin.read(given.plugin).load()
    spec = DATASETS[known(given.dataset, DATASETS, "--dataset")]
    noun.speak_of(spec.noun)
    name = known(given.model or spec.default_model, MODELS, "--model")
    shape = spec.n_classes, spec.image_shape
    network: nn.Module
    if given.weights.suffix == SUFFIX:
        network = OnnxNetwork(given.weights, *shape)
    else:
        network = build_model(
            name, n_classes=shape[0], image_shape=shape[1], seed=0, n_tokens=spec.n_tokens
        )
        load_weights(network, read_checkpoint(given.weights, network))
    images = load_images(given.dataset, given.data_dir)
    inside = read_positions(given.members, images, "--members")
    outside = _outside(given, images, inside)
    require_enough(len(inside), len(outside))
    positions = np.union1d(inside, outside)
    seen = survey_images(given.dataset, images, spec)
    on_cuda = torch.cuda.is_available() and given.weights.suffix != SUFFIX
    device = torch.device("cuda" if on_cuda else "cpu")
    if given.weights.suffix != SUFFIX:
        network = network.to(device).to(memory_format=memory_format(name, *shape, spec.n_tokens))
    batches = on_device(images, spec, device, decoders=(os.cpu_count() or 1))
    with said(f"{given.weights} cannot be run", network):
        logits = predict(network, batches, torch.from_numpy(positions).to(device))
    is_member = np.isin(positions, inside)
    copies = seen.contents.copies[positions]
    return Answers(
        outputs=logits.cpu().numpy(),
        labels=images.labels[positions],
        is_member=is_member,
        positions=positions,
        copies=copies if len(np.unique(copies)) < len(copies) else None,
        notes=(*seen.notes, *_of_copies(copies, is_member)),
    )


def _outside(given: GivenNetwork, images: Data, inside: Indices) -> Indices:
    """The non-members: those listed, or all others."""
    if given.non_members is None:
        return np.setdiff1d(np.arange(len(images.labels)), inside)
    listed = read_positions(given.non_members, images, "--non-members")
    both = np.intersect1d(listed, inside)
    if len(both):
        raise InvalidInput(
            f"{len(both):,} {noun.many()} are members and non-members, the first at {both[0]}: "
            f"take them out of {given.members} or of {given.non_members}"
        )
    return listed


def _of_copies(copies: Indices, is_member: NDArray[np.bool_]) -> list[str]:
    both = np.isin(copies[~is_member], copies[is_member]).sum()
    if not both:
        return []
    return [
        f"{both:,} non-members are copies of members: the network has seen them, so that the leak "
        "is understated a little"
    ]
