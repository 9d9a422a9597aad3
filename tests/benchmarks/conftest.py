"""A small table of LeNet-5's shape, written from a formula with noise of known sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from search.recipes import recipe
from search.space import Space
from tests.benchmarks.planned_vectors import planned
from tests.benchmarks.synthetic import DENSE as DENSE_LEAK
from tests.benchmarks.synthetic import Formula
from tests.benchmarks.table import ATTACKED, DENSE, MODELS, Table

SHAPES = {
    "conv1": (6, 1, 5, 5),
    "conv2": (16, 6, 5, 5),
    "fc1": (120, 400),
    "fc2": (84, 120),
    "fc3": (10, 84),
}
VECTORS = 90
OWN, COMMON, IMAGES, OF_PAIRS, FAMILY = 0.006, 0.004, 0.003, 0.004, 0.005
TOLD = (0.006, 0.0045)


@pytest.fixture(scope="session")
def lenet5_weights():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.fixture(scope="session")
def lenet5_space(lenet5_weights):
    sizes = tuple(weight.numel() for weight in lenet5_weights.values())
    return Space(kind="layer", layer_names=tuple(SHAPES), layer_weights=sizes)


@pytest.fixture(scope="session")
def config():
    return recipe("mnist5k", "lenet5")


def row(number, source, level, n, sizes, lost, family, gains):
    """A row whose accuracies follow from what was lost, (3, MODELS), of 95%."""
    pairs = gains.reshape(-1, 2).mean(axis=1)
    few, many = TOLD
    return {
        "number": number,
        "source": source,
        "level": level,
        "layer_names": list(SHAPES),
        "layer_weights": list(sizes),
        "n": list(n),
        "compression": sum(sizes) / sum(n),
        "val_accuracy": (0.95 - lost[0]).tolist(),
        "test_accuracy": (0.95 - lost[1]).tolist(),
        "outside_accuracy": (0.95 - lost[2]).tolist(),
        "family": family.tolist(),
        "family_se": [0.008] * ATTACKED,
        "gains": gains.tolist(),
        "crossed_all": gains.mean(),
        "crossed_first": 0.9 * pairs[:2].mean(),
        "crossed_second": 0.9 * pairs[2:].mean(),
        "lost_first_se": few,
        "lost_second_se": few,
        "lost_all_se": many,
        "seconds": 0.0,
    }


@pytest.fixture(scope="session")
def table(tmp_path_factory, lenet5_weights, lenet5_space) -> Table:
    generator, sizes = np.random.default_rng(0), lenet5_space.layer_weights
    found, formula = Table(tmp_path_factory.mktemp("table")), Formula(layer_weights=sizes)
    found.begin({"seed": 0})
    common = generator.normal(0, COMMON, MODELS)
    nothing = np.zeros((3, MODELS))
    dense = np.full(MODELS, DENSE_LEAK)
    found.put(row(-1, DENSE, None, sizes, sizes, nothing, dense[:ATTACKED], dense))
    for number, one in enumerate(planned(lenet5_space, lenet5_weights, 0)[:VECTORS]):
        means = formula(np.log(np.array([one.n]) / np.array(sizes)))
        lost = means["lost"] + generator.normal(0, OWN, MODELS) + common
        lost = lost + generator.normal(0, IMAGES, (3, 1))
        family = means["family"] + generator.normal(0, FAMILY, ATTACKED)
        of_pairs = np.repeat(generator.normal(0, OF_PAIRS, MODELS // 2), 2)
        gains = means["leak"] + of_pairs
        found.put(row(number, one.source, one.level, one.n, sizes, lost, family, gains))
    return found


@pytest.fixture(scope="session")
def blackbox(table, config):
    from tests.benchmarks.blackbox import tabulated

    return tabulated(table, config)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "table.parquet"
