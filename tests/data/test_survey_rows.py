"""What is seen of rows before a run: constant columns, unlike scales, that they stay as given."""

import dataclasses

import numpy as np
import pytest

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.data.images import Rows
from trainables.data.registry import DATASETS
from trainables.data.survey import survey_images

SPEC = dataclasses.replace(
    DATASETS["mnist5k"], as_given=True, image_shape=(4,), mean=(), std=(), noun="rows", n_classes=3
)
VALUES = np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def of_rows():
    with noun.spoken("rows"):
        yield


def seen(values: np.ndarray, labels: np.ndarray | None = None):
    rows = Rows(values, np.arange(len(values)) % 3 if labels is None else labels)
    return survey_images("mine", rows, SPEC)


def changed(column: int, value) -> np.ndarray:
    values = VALUES.copy()
    values[:, column] = value
    return values


def test_tidy_rows_are_said_to_stay_as_they_are() -> None:
    (note,) = seen(VALUES).notes
    assert note.startswith("Rows reach the network as the data set gives them, neither normalised ")
    assert note.endswith(f"values from {VALUES.min():g} to {VALUES.max():g}")
    words = seen(VALUES).sample.in_words()
    assert words.startswith("60 rows of 4 values, 240 different ones, -3.1")


def test_constant_columns_are_counted_and_spoil_no_other_statistic() -> None:
    _, note = seen(changed(1, 7.0)).notes
    assert note == "1 of 4 columns hold one value throughout"


def test_columns_of_unlike_scale_are_said() -> None:
    _, note = seen(changed(2, VALUES[:, 2] * 1e5)).notes
    assert "standard deviations of the columns go from 0.9" in note
    assert note.endswith("scale them alike in the data set")


def test_positions_of_a_signal_are_no_columns() -> None:
    _, note = seen(changed(0, 0.0).reshape(60, 1, 4)).notes
    assert note == "1 of 4 positions hold one value throughout"


def test_the_size_of_an_id_means_nothing() -> None:
    ids = np.random.default_rng(0).integers(0, 900, (60, 4))
    ids[:, 0] = 0  # as a token that starts every sequence
    (note,) = seen(ids).notes
    assert note.endswith(f"token ids from 0 to {ids.max()}")


@pytest.mark.parametrize(
    ("values", "labels", "says"),
    [
        (np.ones((60, 4), np.float32), None, "all 60 rows are the same one"),
        (VALUES, np.zeros(60, np.int64), r"has rows of one class only \(0\): put rows of another"),
    ],
)
def test_rows_that_nobody_can_learn_from_are_refused_in_one_line(values, labels, says) -> None:
    with pytest.raises(InvalidInput, match=f"data set 'mine'.*{says}"):
        seen(values, labels)


def test_classes_without_rows_are_counted() -> None:
    assert seen(VALUES, np.arange(60) % 2).notes[1] == "1 of 3 classes have no rows"
