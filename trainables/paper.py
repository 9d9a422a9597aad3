"""The figures that Wang et al. (IJCAI 2021) print in Tables 1 to 6, and the bounds they imply."""

import dataclasses
import math
from collections.abc import Mapping

SYSTEMS: dict[str, str] = {
    "none": "Baseline",
    "pruning": "MIA-Pruning",
    "minmax": "Min-Max Game",
    "pruning+minmax": "MIA-Pruning & Min-Max",
    "dp": "DP",
}
"""Each defence and the paper's name for it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Accuracies:
    """Accuracies as printed; an attack's is its share of right guesses, on halves not stated."""

    test: float
    attack: float
    train: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table of accuracies: a data set and a network."""

    label: str
    dataset: str
    model: str
    systems: Mapping[str, Accuracies]
    """Defence -> the printed accuracies, in the order of the table's columns."""

    epsilon: float | None = None
    """The epsilon of the DP column, if the paper states it (section 5.1)."""

    stands_in: str | None = None
    """The label of the printed row whose order this row, on other data, is compared with."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyTable:
    """A table of accuracies: 1, 2, 3, 5 or 6."""

    number: int
    title: str
    rows: tuple[Row, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """The defences in the table's columns."""
        return tuple(self.rows[0].systems)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WeightsRow:
    """One line of Table 4 for one data set; the paper prints CIFAR-10 and CIFAR-100 together."""

    label: str
    dataset: str
    model: str
    weights: float
    nonzero: float
    ratio: float


def _of(test: float, attack: float, train: float | None = None) -> Accuracies:
    return Accuracies(test=test, attack=attack, train=train)


def _table1_row(label: str, dataset: str, model: str, *printed: Accuracies) -> Row:
    systems = dict(zip(("none", "pruning", "minmax"), printed, strict=True))
    return Row(label=label, dataset=dataset, model=model, systems=systems)


_TABLE1 = (
    _table1_row(
        *("MNIST-LeNet-5", "mnist", "lenet5"),
        *(_of(0.993, 0.6700), _of(0.9939, 0.5341), _of(0.9898, 0.5600)),
    ),
    _table1_row(
        *("CIFAR-10-VGG16", "cifar10", "vgg16"),
        *(_of(0.9128, 0.6199), _of(0.9138, 0.5902), _of(0.9097, 0.6035)),
    ),
    _table1_row(
        *("CIFAR-10-MobileNetV2", "cifar10", "mobilenetv2"),
        *(_of(0.9009, 0.6275), _of(0.8614, 0.5898), _of(0.8971, 0.5791)),
    ),
    _table1_row(
        *("CIFAR-100-VGG16", "cifar100", "vgg16"),
        *(_of(0.6484, 0.67628), _of(0.6693, 0.5861), _of(0.6571, 0.6859)),
    ),
    _table1_row(
        *("CIFAR-100-MobileNetV2", "cifar100", "mobilenetv2"),
        *(_of(0.6414, 0.6615), _of(0.5772, 0.6267), _of(0.6336, 0.6261)),
    ),
    _table1_row(
        *("CIFAR-100-ResNet-18", "cifar100", "resnet18"),
        *(_of(0.7345, 0.6985), _of(0.7410, 0.6350), _of(0.6905, 0.7178)),
    ),
)

_TABLE2 = (
    Row(
        label="CIFAR-10-CNN",
        dataset="cifar10",
        model="cnn4",
        systems={"dp": _of(0.6810, 0.5830), "pruning": _of(0.7546, 0.5736)},
    ),
    Row(
        label="MNIST-LeNet-5",
        dataset="mnist",
        model="lenet5",
        systems={"dp": _of(0.9664, 0.7854), "pruning": _of(0.9930, 0.5341)},
        epsilon=6.28,
    ),
)

_TABLE3 = (
    Row(
        label="ImageNet-MobileNetV2",
        dataset="imagenet",
        model="mobilenetv2",
        systems={"none": _of(0.7188, 0.6690), "pruning": _of(0.6877, 0.6479)},
    ),
    Row(
        label="ImageNet-ResNet-18",
        dataset="imagenet",
        model="resnet18",
        systems={"none": _of(0.6976, 0.6620), "pruning": _of(0.6930, 0.6127)},
    ),
)

_TABLE5 = (
    Row(
        label="CIFAR-10-VGG16",
        dataset="cifar10",
        model="vgg16",
        systems={"pruning": _of(0.9138, 0.5902), "pruning+minmax": _of(0.8919, 0.5467)},
    ),
    Row(
        label="CIFAR-100-VGG16",
        dataset="cifar100",
        model="vgg16",
        systems={"pruning": _of(0.6693, 0.5861), "pruning+minmax": _of(0.5471, 0.5765)},
    ),
    Row(
        label="MNIST-LeNet-5",
        dataset="mnist",
        model="lenet5",
        systems={"pruning": _of(0.9939, 0.5341), "pruning+minmax": _of(0.9903, 0.5400)},
    ),
)

_TABLE6 = (
    Row(
        label="CIFAR-10-VGG16",
        dataset="cifar10",
        model="vgg16",
        systems={
            "none": _of(0.9128, 0.6199, 0.9966),
            "pruning": _of(0.9138, 0.5902, 0.9922),
            "minmax": _of(0.9097, 0.6035, 0.9918),
            "pruning+minmax": _of(0.8919, 0.5467, 0.9286),
        },
    ),
)

TABLES: dict[int, AccuracyTable] = {
    table.number: table
    for table in (
        AccuracyTable(number=1, title="Baseline, MIA-Pruning and Min-Max Game", rows=_TABLE1),
        AccuracyTable(number=2, title="DP and MIA-Pruning", rows=_TABLE2),
        AccuracyTable(number=3, title="ImageNet", rows=_TABLE3),
        AccuracyTable(number=5, title="MIA-Pruning with and without Min-Max", rows=_TABLE5),
        AccuracyTable(number=6, title="Training, test and attack accuracy", rows=_TABLE6),
    )
}

_CIFAR_WEIGHTS = (
    ("VGG16", "vgg16", 13.83e6, 1.00e6, 13.84),
    ("ResNet-18", "resnet18", 11.17e6, 1.06e6, 10.54),
    ("MobileNetV2", "mobilenetv2", 3.46e6, 0.34e6, 10.06),
)

TABLE4: tuple[WeightsRow, ...] = (
    WeightsRow(
        label="MNIST LeNet",
        dataset="mnist",
        model="lenet5",
        weights=60e3,
        nonzero=3.80e3,
        ratio=15.78,
    ),
    *(
        WeightsRow(
            label=f"{data} {name}",
            dataset=dataset,
            model=model,
            weights=weights,
            nonzero=nonzero,
            ratio=ratio,
        )
        for name, model, weights, nonzero, ratio in _CIFAR_WEIGHTS
        for data, dataset in (("CIFAR-10", "cifar10"), ("CIFAR-100", "cifar100"))
    ),
    WeightsRow(
        label="ImageNet ResNet-18",
        dataset="imagenet",
        model="resnet18",
        weights=11.17e6,
        nonzero=3.47e6,
        ratio=3.37,
    ),
    WeightsRow(
        label="ImageNet MobileNetV2",
        dataset="imagenet",
        model="mobilenetv2",
        weights=3.46e6,
        nonzero=1.06e6,
        ratio=3.27,
    ),
)


def task(row: Row | WeightsRow) -> str:
    """A row's data set and network, as presets name it: DATASET-MODEL."""
    return f"{row.dataset}-{row.model}"


TASKS: dict[int, tuple[str, ...]] = dict(
    sorted(
        {
            **{number: tuple(map(task, table.rows)) for number, table in TABLES.items()},
            4: tuple(map(task, TABLE4)),
        }.items()
    )
)
"""The DATASET-MODEL names of each table's rows; Table 4 prints CIFAR-10 and CIFAR-100 together."""

COMPRESSION = {task(row): row.ratio for row in TABLE4}
"""DATASET-MODEL -> the reduction ratio in Table 4, whose pruned networks all tables use."""


def _drops() -> dict[tuple[str, str], float]:
    rows = [row for table in TABLES.values() for row in table.rows]
    dense = {task(row): row.systems["none"].test for row in rows if "none" in row.systems}
    dense["cifar10-cnn4"] = TABLES[2].rows[0].systems["pruning"].test  # it prints no baseline
    points = {
        (task(row), defense): math.ceil(round(100 * (dense[task(row)] - printed.test), 6))
        for row in rows
        for defense, printed in row.systems.items()
    }
    return {pair: points / 100 for pair, points in points.items() if points > 1}


DROPS = _drops()
"""(DATASET-MODEL, defence) -> the test accuracy that the paper paid, rounded up to whole points, if
it is more than one point. DP on CIFAR-10 is compared with MIA-Pruning, because Table 2 prints no
baseline."""
