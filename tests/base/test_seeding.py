"""One seed in, independent and stable streams out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.base.seeding import derive_seed, numpy_generator, seeded_torch, torch_generator


@pytest.mark.parametrize(
    ("seed", "purpose", "expected"),
    [
        (0, "split", 374_788_079_615_300_020),
        (1, "split", 7_955_283_434_225_649_879),
        (0, "batches", 5_237_782_742_855_521_824),
        (2**63 - 1, "initialisation", 1_304_606_097_654_417_606),
    ],
)
def test_derived_seeds_never_change(seed, purpose, expected) -> None:
    assert derive_seed(seed, purpose) == expected


def test_numpys_stream_never_changes() -> None:
    assert numpy_generator(0, "split").integers(0, 1000, 4).tolist() == [273, 242, 205, 254]


def test_torchs_stream_never_changes() -> None:
    drawn = torch.randint(1000, (4,), generator=torch_generator(0, "split"))
    assert drawn.tolist() == [112, 700, 72, 32]


@given(seed=st.integers(0, 2**63 - 1), purpose=st.text(max_size=20))
def test_a_derived_seed_fits_63_bits(seed, purpose) -> None:
    assert 0 <= derive_seed(seed, purpose) < 2**63


def test_seeds_and_purposes_do_not_collide() -> None:
    purposes = ["split", "batches", "initialisation", "1/split", "folds"]
    derived = {derive_seed(seed, purpose) for seed in range(200) for purpose in purposes}
    assert len(derived) == 200 * len(purposes)


@pytest.mark.parametrize("pair", [((0, "a"), (0, "b")), ((0, "a"), (1, "a"))])
def test_streams_of_other_seeds_and_purposes_are_uncorrelated(pair) -> None:
    one, other = (numpy_generator(*key).standard_normal(20_000) for key in pair)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    one, other = (torch.randn(20_000, generator=torch_generator(*key)) for key in pair)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


def test_drawing_from_one_stream_moves_no_other() -> None:
    expected = numpy_generator(0, "b").random(3)
    numpy_generator(0, "a").random(100)
    assert (numpy_generator(0, "b").random(3) == expected).all()


def test_seeded_torch_gives_the_global_generator_back() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded_torch(0, "initialisation"):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_torch_gives_the_global_generator_back_after_an_error() -> None:
    def fail() -> None:
        with seeded_torch(0, "initialisation"):
            torch.rand(3)
            raise ZeroDivisionError

    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
