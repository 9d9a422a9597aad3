"""What an item of a user's data set may be: one line, with its remedy, for everything else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.data import items

ROW = torch.tensor([0.0, 1.0, -2.5])


@pytest.fixture(autouse=True)
def of_rows():
    with noun.spoken("rows"):
        yield


@given(arrays.arrays(np.float32, (2, 3), elements=st.floats(-1024, 1024, width=32)))
def test_finite_numbers_pass_as_they_are(values) -> None:
    assert np.array_equal(items.numbers((2, 3), torch.tensor(values)).numpy(), values)


def test_zero_has_one_content_whatever_its_sign() -> None:
    plus, minus = (items.numbers((1,), torch.tensor([zero])) for zero in (0.0, -0.0))
    assert plus.numpy().tobytes() == minus.numpy().tobytes()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (ROW.numpy(), "its row must be a float32 tensor, not ndarray: convert it with"),
        (ROW.double(), "its row must be float32, not float64: convert it with .float()"),
        (ROW.long(), "not int64: convert it with .float(), or give n_tokens if these are ids"),
        (ROW[:2], "its row must have the shape (3,), not (2,)"),
        (torch.tensor([0, torch.nan, 1]), "its row holds nan at (1,): fill in what is missing, or"),
        (torch.tensor([0, 1, -torch.inf]), "its row holds -inf at (2,): fill in"),
    ],
)
def test_what_is_no_row_of_numbers_is_one_line(value, says) -> None:
    with pytest.raises(InvalidInput) as caught:
        items.numbers((3,), value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], "its row must be an int64 tensor, not list"),
        (torch.tensor([1.0, 2.0]), "must be int64 with n_tokens, not float32: convert it with .l"),
        (
            torch.tensor([1, 5]),
            "its row holds the id 5, outside of 0 to 4: mend the ids, or give a",
        ),
        (torch.tensor([-1, 0]), "its row holds the id -1, outside of 0 to 4"),
        (torch.tensor([1]), "its row must have the shape (2,), not (1,)"),
    ],
)
def test_what_are_no_tokens_is_one_line(value, says) -> None:
    with pytest.raises(InvalidInput) as caught:
        items.tokens((2,), 5, value)
    assert says in str(caught.value)


def test_tokens_pass_as_they_are() -> None:
    assert items.tokens((2,), 5, torch.tensor([0, 4])).tolist() == [0, 4]


@pytest.mark.parametrize("label", [2, np.int32(2), np.array(2), torch.tensor(2)])
def test_a_whole_number_is_a_label(label) -> None:
    assert items.label(3, label) == 2


@pytest.mark.parametrize("label", [1.0, 0.37, np.float32(2), torch.tensor(0.5)])
def test_regression_is_refused_even_where_its_targets_are_whole(label) -> None:
    with pytest.raises(InvalidInput, match=r"whole number in 0 to 2, not .*regression is not supp"):
        items.label(3, label)


@pytest.mark.parametrize("label", [torch.tensor([0, 1, 1]), np.array([1]), [0, 2], {1}])
def test_several_labels_are_refused(label) -> None:
    says = r"not [123] values: take argmax\(\) of a one-hot .*several labels for a row are not supp"
    with pytest.raises(InvalidInput, match=says):
        items.label(3, label)


@pytest.mark.parametrize("label", [-1, 3, None, "a"])
def test_a_label_outside_the_classes_is_refused(label) -> None:
    with pytest.raises(InvalidInput, match=f"whole number in 0 to 2, not {label}$"):
        items.label(3, label)
