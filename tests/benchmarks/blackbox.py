"""What a simulated search asks instead of training: a vector's expected figures, and their noise.

`tabulated` makes one from the table of LeNet-5; `synthetic.py` one of MobileNetV2's shape.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from search.search_options import SearchConfig
from search.space import Counts
from tests.benchmarks.noise import NEAR, Noise, ToldErrors, image_luck, noise_of
from tests.benchmarks.planned_vectors import WHOLE
from tests.benchmarks.surrogate import HeldOut, Surrogate, cross_validated
from tests.benchmarks.table import DENSE, MODELS, PUBLISHED, Table
from trainables.base.errors import InvalidInput

FIGURES = ("lost", "family", "leak_of_four", "leak")
"""Accuracy lost, in pairs, as a fraction; excess gain of a search trial's attacks on one model, of
a cross-audit of four models, and of one of eight, which is what is meant by a vector's leak."""

UNITS = {"lost": 0.01, "family": 0.01, "leak_of_four": 0.01, "leak": 0.01}
"""Below about this much a surrogate is linear in the figure; one point, or a hundredth nat."""

PARTS = ("val_accuracy", "test_accuracy", "outside_accuracy")
"""Images that a model did not train on, about as many in each."""

Means = Mapping[str, np.ndarray]
"""Figure -> (k,)."""

FEWEST_ROWS = 20
"""A surrogate of fewer vectors says nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """The eight models of one tabulated vector; what all vectors of a half share is taken off."""

    gains: np.ndarray
    """(8,) own excess gains, nats."""

    lost: np.ndarray
    """(8,) accuracies lost on all images that the models did not train on."""

    lost_validation: np.ndarray
    """(8,) on the validation images alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlackboxNoise:
    """The noise of every figure."""

    lost: Noise
    """Of one model; grows with the accuracy lost."""

    family: Noise
    """Of one model; grows with the figure."""

    seen: Noise
    """Of the accuracy that one model of the search lost against the mean of the dense models."""

    gain: Noise
    """Of the mean own gain of a complementary pair; grows with the leak."""

    images: float
    """Deviation of the accuracy lost on the validation images from that on any, in all models."""

    told: ToldErrors
    """Standard errors of accuracies lost, as the audits say them."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Blackbox:
    """A network that can be pruned to any vector, without training."""

    name: str
    config: SearchConfig
    """Bounds, and numbers of models, of a real run."""

    layer_names: tuple[str, ...]
    layer_weights: Counts
    expected: Callable[[np.ndarray], Means]
    """ln of keep ratios (k, layers) -> expected figures."""

    noise: BlackboxNoise
    dense_leak: float
    dense_family: float
    anchors: Sequence[Counts]
    published: Mapping[str, Sequence[Counts]]
    """Rule -> its vectors, the sparsest first."""

    measured: Mapping[Counts, Measured] = dataclasses.field(default_factory=dict)
    """Published allocations that are in the table, whose own rows are used."""

    def means(self, vectors: Sequence[Counts]) -> Means:
        """Expected figures of vectors; no leak is below zero."""
        x = logarithms(np.array(vectors), self.layer_weights)
        found = self.expected(x)
        return {name: found[name] if name == "lost" else found[name].clip(0) for name in FIGURES}


def logarithms(counts: np.ndarray, layer_weights: Sequence[int]) -> np.ndarray:
    """(k, layers) counts -> logarithms of keep ratios."""
    logs: np.ndarray = np.log(counts / np.array(layer_weights))
    return logs


@dataclasses.dataclass(frozen=True)
class Surrogates:
    """`Blackbox.expected` of a table; pickles."""

    of: Mapping[str, Surrogate]

    def __call__(self, x: np.ndarray) -> Means:
        return {name: surrogate(x) for name, surrogate in self.of.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """A table's rows as arrays, one entry a vector."""

    x: np.ndarray
    """(k, layers) ln of keep ratios."""

    lost: np.ndarray
    """(k, parts, 8) accuracy lost against the dense model of the half."""

    of: Means

    @classmethod
    def of_rows(cls, rows: pd.DataFrame, dense: pd.Series) -> "Figures":
        """rows: of pruned vectors."""
        lost = np.stack([np.stack(rows[part].to_list()) for part in PARTS], axis=1)
        before = np.stack([dense[part] for part in PARTS])
        lost = before[None] - lost
        four = (rows["crossed_first"] + rows["crossed_second"]) / 2
        return cls(
            x=logarithms(np.stack(rows["n"].to_list()), dense["layer_weights"]),
            lost=lost,
            of={
                "lost": lost.mean(axis=(1, 2)),
                "family": np.stack(rows["family"].to_list()).mean(axis=1),
                "leak_of_four": four.to_numpy(),
                "leak": rows["crossed_all"].to_numpy(),
            },
        )

    @property
    def near(self) -> np.ndarray:
        """(k,) bool: vectors whose networks did not collapse."""
        kept: np.ndarray = self.of["lost"] < NEAR
        return kept


def split_rows(table: Table) -> tuple[pd.DataFrame, pd.Series]:
    """The pruned vectors, and the dense models' row. Raises InvalidInput where they are too few."""
    rows = table.rows()
    dense = rows[rows["source"] == DENSE]
    pruned = rows[rows["source"] != DENSE].reset_index(drop=True)
    if dense.empty or len(pruned) < FEWEST_ROWS:
        raise InvalidInput(
            f"{table.folder} holds {len(pruned)} vectors, and {FEWEST_ROWS} are the fewest that "
            "show anything: go on with `make bench-tabulate`"
        )
    return pruned, dense.iloc[0]


def tabulated(table: Table, config: SearchConfig) -> Blackbox:
    """The blackbox of a table. Raises InvalidInput where it holds too few vectors."""
    rows, dense = split_rows(table)
    figures = Figures.of_rows(rows, dense)
    of = {name: Surrogate.fitted(figures.x, figures.of[name], UNITS[name]) for name in FIGURES}
    published = rows[rows["source"].isin(PUBLISHED)].sort_values("level")
    return Blackbox(
        name="LeNet-5, tabulated",
        config=config,
        layer_names=tuple(dense["layer_names"]),
        layer_weights=_counts(dense["n"]),
        expected=Surrogates(of),
        noise=_noise(rows, figures),
        dense_leak=float(dense["crossed_all"]),
        dense_family=float(np.mean(dense["family"])),
        anchors=_anchors(rows),
        published={
            rule: [_counts(n) for n in published.loc[published["source"] == rule, "n"]]
            for rule in PUBLISHED
        },
        measured=_measured(rows, figures),
    )


def held_out(table: Table) -> dict[str, dict[str, HeldOut]]:
    """Figure -> regressor -> its cross-validated errors, over vectors that did not collapse."""
    figures = Figures.of_rows(*split_rows(table))
    return {
        name: cross_validated(figures.x, figures.of[name], UNITS[name], figures.near)
        for name in FIGURES
    }


def _counts(n: Sequence[int]) -> Counts:
    return tuple(int(count) for count in n)


def _anchors(rows: pd.DataFrame) -> list[Counts]:
    """Those of `search.stages.search.anchor_vectors`, the first planned of a table."""
    first = rows[rows["source"].isin([WHOLE, *PUBLISHED])].head(10)
    return [_counts(n) for n in first["n"]]


def _noise(rows: pd.DataFrame, figures: Figures) -> BlackboxNoise:
    near = figures.near
    kept = rows[near]
    family = np.stack(kept["family"].to_list())
    pairs = np.stack(kept["gains"].to_list()).reshape(-1, MODELS // 2, 2).mean(axis=2)
    lost = figures.lost[near]
    errors = [kept[f"lost_{part}_se"].to_numpy() for part in ("first", "all")]
    return BlackboxNoise(
        lost=noise_of(lost[:, 0], figures.of["lost"][near]),
        seen=noise_of(-np.stack(kept[PARTS[0]].to_list()), figures.of["lost"][near]),
        family=noise_of(family, figures.of["family"][near]),
        gain=noise_of(pairs, figures.of["leak"][near]),
        images=image_luck(lost.mean(axis=2)),
        told=ToldErrors.of(*errors),
    )


def _measured(rows: pd.DataFrame, figures: Figures) -> dict[Counts, Measured]:
    near = figures.near
    gains, lost = np.stack(rows["gains"].to_list()), figures.lost
    whole = lost.mean(axis=1)
    return {
        _counts(row["n"]): Measured(
            gains=gains[at] - _shared(gains[near]),
            lost=whole[at] - _shared(whole[near]),
            lost_validation=lost[at, 0] - _shared(lost[near, 0]),
        )
        for at, (_, row) in enumerate(rows.iterrows())
        if row["source"] in PUBLISHED
    }


def _shared(values: np.ndarray) -> np.ndarray:
    """(vectors, models) -> (models,): what all vectors of a half have in common."""
    shared: np.ndarray = values.mean(axis=0) - values.mean()
    return shared
