"""Rows reach the network bit for bit as the data set gave them, in the order that is asked for."""

import numpy as np
import pytest
import torch

from trainables.data.batches import on_device
from trainables.data.contents import Contents
from trainables.data.images import Rows
from trainables.data.limit import limited
from trainables.data.registry import DATASETS, EVEN

VALUES = np.random.default_rng(0).normal(0, 1e3, (60, 2, 5)).astype(np.float32)
LABELS = np.arange(60) % 3


def held(rows: Rows):
    return on_device(rows, DATASETS["mnist5k"], torch.device("cpu"), 0)


@pytest.mark.parametrize("values", [VALUES, (VALUES * 10).astype(np.int64)])
def test_a_batch_is_what_was_given(values) -> None:
    rows = held(Rows(values, LABELS))
    parts = [torch.tensor([3, 1, 1]), torch.tensor([59])]
    batches = list(rows.batches(iter(parts)))
    assert [batch.numpy().tobytes() for batch, _ in batches] == [
        values[part.numpy()].tobytes() for part in parts
    ]
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 1], [2]]
    assert rows.batch(parts[0]).numpy().dtype == values.dtype


def test_an_empty_draw_is_no_batch_or_an_empty_one() -> None:
    rows = held(Rows(VALUES, LABELS))
    assert list(rows.batches([])) == []
    ((batch, labels),) = rows.batches([torch.tensor([], dtype=torch.int64)])
    assert batch.shape == (0, 2, 5)
    assert labels.shape == (0,)


def test_rows_are_not_augmented() -> None:
    with pytest.raises(ValueError, match="cannot be cropped"):
        list(held(Rows(VALUES, LABELS)).batches([torch.tensor([0])], torch.Generator()))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (VALUES.astype(np.float64), LABELS),
        (VALUES[:, 0, 0], LABELS),
        (VALUES, LABELS[:3]),
        (VALUES, LABELS.astype(np.float32)),
    ],
)
def test_other_types_and_shapes_are_faults(values, labels) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rows(values, labels)


def test_copies_of_a_row_are_found_and_a_limit_takes_rows() -> None:
    values = VALUES.copy()
    values[7] = values[4]
    copies = Contents.of(Rows(values, LABELS)).copies
    assert [i for i, first in enumerate(copies) if first != i] == [7]
    assert copies[7] == 4
    few = limited("mine", Rows(values, LABELS), 30, EVEN, seed=0)
    assert isinstance(few, Rows)
    assert np.bincount(few.labels).tolist() == [10, 10, 10]
    assert all((row == values).all((1, 2)).any() for row in few.values)
