"""Every data set x network x defence of the paper's tables, on files in the data's own format.

The command line's own settings with budgets of one epoch, the trial that Ray would run, no Ray.
"""

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from analysis.paper_commands import STAND_IN, command
from search.inputs import load_inputs
from search.parser import parse
from trainables.config import TrialConfig
from trainables.data.cohort import reference_halves
from trainables.defenses.registry import DEFENSES
from trainables.job import Job, Shared
from trainables.models.building import build_model
from trainables.paper import TABLE4, TABLES
from trainables.trial import Trial

CLASSES, EACH = 3, 20
"""Enough for each part of the split, and for DP-SGD's least batch."""


def combinations() -> dict[str, list[str]]:
    """DATASET-MODEL-DEFENSE -> the words of the command that the paper's page prints for it."""
    printed = [
        (table.number, row, defense)
        for table in TABLES.values()
        for row in table.rows
        for defense in row.systems
    ]
    printed += [(4, row, "pruning") for row in TABLE4]
    return {
        f"{row.dataset}-{row.model}-{defense}": command(number, row, defense).split()[3:]
        for number, row, defense in printed
    }


PAPER = combinations()
OTHERS = {
    f"mnist-lenet5-{defense}": ["--dataset", "mnist", "--model", "lenet5", "--defense", defense]
    for defense in DEFENSES
    if not any(name.endswith(f"-{defense}") for name in PAPER)
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, write_cifar, imagenet_folder) -> dict[str, Path]:
    """Data set -> a --data-dir with a few classes of it."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(CLASSES), EACH))
    pixels = (generator.integers(0, 100, (len(labels), 3072)) + 50 * labels[:, None]).astype(
        np.uint8
    )
    home = tmp_path_factory.mktemp("paper")
    for write in write_cifar.values():
        write(home, pixels, labels)
    write_mnist(home, pixels[:, :784], labels)
    return {"mnist": home, "cifar10": home, "cifar100": home, "imagenet": imagenet_folder}


def write_mnist(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """MNIST's four files, extracted; one image in six is in t10k.

    pixels: (n, 784) uint8.  labels: (n,).
    """
    home = folder / "MNIST" / "raw"
    home.mkdir(parents=True)
    first = len(labels) * 5 // 6
    for part, where in {"train": slice(first), "t10k": slice(first, None)}.items():
        count = len(labels[where])
        (home / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + pixels[where].tobytes()
        )
        (home / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + labels[where].astype(np.uint8).tobytes()
        )


def arguments(words: list[str], folder: Path) -> list[str]:
    """The same command as a smoke run on the small files, Min-Max with one inner step."""
    defense = words[words.index("--defense") + 1]
    words = [f"{w}-smoke" if w.startswith("paper-") else w for w in words]
    words += [] if "--preset" in words else ["--preset", "smoke"]
    words += ["--set", "inner_steps=1"] if "minmax" in defense else []
    return [*words, "--data-dir", str(folder)]


def job_and_shared(words: list[str], folder: Path) -> tuple[Job, Shared]:
    """What the confirmation of a run of `words` would hand to Ray: half of each layer is kept."""
    config, options = parse(arguments(words, folder))
    inputs = load_inputs(config, options)
    prunes = DEFENSES[config.defense].prunes
    trial = TrialConfig(
        kind="confirm",
        number=0,
        run_seed=0,
        seed=1,
        dataset=config.dataset,
        model=config.model,
        n=tuple(size // 2 if prunes else size for size in inputs.layers.values()),
        defense=config.defense,
        parameters={name: parameter.default for name, parameter in config.parameters.items()},
        training=dataclasses.replace(config.training, batch_size=32),
        admm=config.admm,
        attack=config.attack,
    )
    dense = inputs.pretrained or initial_weights(config)
    shared = Shared(
        images=inputs.images,
        split=inputs.split,
        dense={"baseline": dense},
        halves=reference_halves(2 * inputs.sizes["members"], 2, 0),
        device="cpu",
        references={},
        pretrained=inputs.pretrained,
    )
    return Job(trial=trial, dense="baseline"), shared


def initial_weights(config) -> dict[str, np.ndarray]:
    shape = {"mnist": (1, 28, 28)}.get(config.dataset, (3, 32, 32))
    classes = 100 if config.dataset == "cifar100" else 10
    network = build_model(config.model, n_classes=classes, image_shape=shape, seed=0)
    return {name: value.numpy() for name, value in network.state_dict().items()}


def outcome(job: Job, shared: Shared) -> dict:
    class Bound(Trial):
        def setup(self, config: dict) -> None:
            super().setup(config, shared)

    trial = Bound({"job": job.to_dict()})
    result = trial.step()
    while not result["done"]:
        result = trial.step()
    return result


def test_the_tables_name_every_data_set_of_the_paper_and_none_but_stand_ins_are_left_out() -> None:
    assert {name.split("-")[0] for name in PAPER} == {"mnist", "cifar10", "cifar100", "imagenet"}
    assert not any(name.startswith(STAND_IN) for name in PAPER)
    assert {name.split("-", 2)[2] for name in PAPER | OTHERS} == set(DEFENSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER | OTHERS)
def test_each_system_of_the_tables_trains_and_is_measured(name, folders) -> None:
    dataset, model, defense = name.split("-", 2)
    job, shared = job_and_shared((PAPER | OTHERS)[name], folders[dataset])
    result = outcome(job, shared)
    assert result["trial_error"] is None
    assert result["finished"]
    assert (job.trial.dataset, job.trial.model, job.trial.defense) == (dataset, model, defense)
    if DEFENSES[defense].prunes:
        assert result["nonzero"] == sum(job.trial.n)
    assert 0 <= result["test_accuracy"] <= 1
    assert np.isfinite([result["excess_gain"], result["attack_gain_se"]]).all()
    assert ("epsilon" in result["defense_spent"]) == (defense == "dp")
