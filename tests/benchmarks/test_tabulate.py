"""The table: which vectors, and that a kill loses only those in work."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import tabulate as program
from tests.benchmarks.conftest import row
from tests.benchmarks.eight_models import deciding
from tests.benchmarks.planned_vectors import NEAR_BOUND, POINTS, planned
from tests.benchmarks.table import DENSE, MODELS, PUBLISHED, Table
from trainables.base.errors import InvalidInput


class Models:
    """Stands for EightModels, and counts what it is asked to train."""

    def __init__(self, space, weights, config):
        self.space, self.weights, self.config = space, weights, config
        self.trained = []

    def dense(self):
        self.trained.append(-1)
        return self._row(-1, DENSE, None, self.space.layer_weights)

    def measure(self, number, vector):
        self.trained.append(number)
        return self._row(number, vector.source, vector.level, vector.n)

    def _row(self, number, source, level, n):
        gains = np.full(MODELS, 0.01)
        lost = np.zeros((3, MODELS))
        return row(number, source, level, n, self.space.layer_weights, lost, gains[:2], gains)


def first(vectors, seed=0):
    return program.first_planned(vectors, seed)


@pytest.fixture
def models(lenet5_space, lenet5_weights, config, monkeypatch):
    made = Models(lenet5_space, lenet5_weights, config)
    monkeypatch.setattr(program, "begin", lambda *_: None)
    monkeypatch.setitem(program._made, "models", made)
    return made


def test_a_table_that_was_interrupted_measures_only_what_is_missing(models, folder):
    table = Table(folder)
    assert program.tabulate(table, first(3), seed=0, workers=1) == 3
    (folder / "00001.parquet").unlink()
    assert program.tabulate(table, first(4), seed=0, workers=1) == 2
    assert models.trained == [-1, 0, 1, 2, 1, 3]
    assert table.rows()["number"].tolist() == [-1, 0, 1, 2, 3]


def test_a_packed_table_is_one_file_and_goes_on(models, folder):
    table = Table(folder)
    program.tabulate(table, first(3), seed=0, workers=1)
    rows, before = table.rows(), (folder / "00001.parquet").read_bytes()
    table.pack()
    assert [path.name for path in folder.glob("*.parquet")] == ["packed.parquet"]
    (folder / "00001.parquet").write_bytes(before)  # killed before it removed this one
    pd.testing.assert_frame_equal(table.rows(), rows)
    assert program.tabulate(table, first(4), seed=0, workers=1) == 1
    table.pack()
    assert table.rows()["number"].tolist() == [-1, 0, 1, 2, 3]
    assert len(pd.read_parquet(folder)) == 5


def test_no_vector_is_begun_after_the_time_is_up(models, folder):
    assert program.tabulate(Table(folder), first(3), seed=0, workers=1, minutes=0) == 0


def test_a_table_of_another_seed_is_refused_before_anything_is_trained(models, folder):
    program.tabulate(Table(folder), first(1), seed=0, workers=1)
    models.trained.clear()
    with pytest.raises(InvalidInput, match="begun with another seed"):
        program.tabulate(Table(folder), first(1, 1), seed=1, workers=1)
    assert models.trained == []


def test_pandas_reads_the_folder(models, folder):
    program.tabulate(Table(folder), first(2), seed=0, workers=1)
    assert set(pd.read_parquet(folder)["source"]) == {"dense", "whole", "uniform"}


def test_a_folder_without_a_table_is_named(folder):
    with pytest.raises(InvalidInput, match="is no table"):
        _ = Table(folder).about


def test_the_anchors_come_first_and_any_beginning_has_every_kind(lenet5_space, lenet5_weights):
    vectors = planned(lenet5_space, lenet5_weights, 0)
    assert [one.source for one in vectors[:4]] == ["whole", "uniform", "erk", "lamp"]
    assert {one.source for one in vectors[:100]} == {"whole", "space", "boundary", *PUBLISHED}
    assert len({one.n for one in vectors}) == len(vectors) > POINTS
    assert planned(lenet5_space, lenet5_weights, 0) == vectors
    assert planned(lenet5_space, lenet5_weights, 1)[10:] != vectors[10:]


def test_half_of_the_points_lie_near_the_bound_of_the_accuracy(lenet5_space, lenet5_weights):
    vectors = planned(lenet5_space, lenet5_weights, 0)
    total = sum(lenet5_space.layer_weights)
    near = [total / sum(one.n) for one in vectors if one.source == "boundary"]
    assert len(near) == POINTS // 2
    assert NEAR_BOUND[0] <= min(near) <= max(near) <= NEAR_BOUND[1]


@pytest.mark.slow
def test_a_vector_is_measured_as_a_run_measures_it(tmp_path, monkeypatch, mnist5k_read_once):
    """An epoch of everything: accuracies, attacks, and an audit of each group of models."""
    from tests.benchmarks import eight_models

    config = eight_models.preset(0)
    short = dataclasses.replace(
        config,
        limit=1000,
        training=dataclasses.replace(config.training, epochs=1),
        admm=dataclasses.replace(
            config.admm, iterations=1, epochs_per_iteration=1, retrain_epochs=1
        ),
        attack=dataclasses.replace(config.attack, folds=3, neural_epochs=1),
    )
    monkeypatch.setattr(eight_models, "preset", lambda seed: short)
    models = eight_models.EightModels(0, tmp_path)
    vector = planned(models.space, models.weights, 0)[1]
    table = Table(tmp_path / "table")
    table.put(models.measure(0, vector))
    row = table.rows().iloc[0]
    assert tuple(row["n"]) == vector.n
    assert np.mean(row["gains"]) == pytest.approx(row["crossed_all"])
    for part in ("val_accuracy", "test_accuracy", "outside_accuracy", "gains"):
        assert len(row[part]) == MODELS
    drop = models._before.validation.mean() - np.mean(row["val_accuracy"])
    assert drop == pytest.approx(row["lost_all"])


def test_a_table_outlives_options_that_change_no_model(config):
    assert deciding(dataclasses.replace(config, trials=7, confirm_top=1)) == deciding(config)
    admm = dataclasses.replace(config.admm, rho=0.5)
    assert deciding(dataclasses.replace(config, admm=admm)) != deciding(config)
