"""The sparse file: every value comes back, from few bytes, by the very lines that a card shows."""

import json
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from trainables.ship.sparse_file import FLOAT16, INT8, fewest_bits, gap_codes, sparse_file
from trainables.ship.unpacking import CODE


@pytest.fixture(scope="module")
def load():
    """The card's loader, made of its text alone."""
    names: dict = {}
    exec(CODE, names)
    return names["load_sparse"]


def pruned(shape: tuple[int, ...], density: float, seed: int = 0) -> np.ndarray:
    """The largest of a normal sample, as magnitude pruning leaves them."""
    weight = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    kept = max(1, round(density * weight.size))
    threshold = np.sort(np.abs(weight).ravel())[-kept]
    return np.where(np.abs(weight) >= threshold, weight, np.float32(0))


@pytest.mark.parametrize("density", [1.0, 0.5, 0.1, 0.01, 1e-4, 0.0])
@pytest.mark.parametrize("precision", [FLOAT16, INT8])
def test_a_tensor_comes_back_in_its_places_as_precise_as_was_asked(
    tmp_path: Path, load, density: float, precision: str
) -> None:
    weights = {"conv": pruned((20, 10, 5, 10), density) * (density > 0), "bias": pruned((7,), 1)}
    (tmp_path / "w").write_bytes(sparse_file(weights, precision))
    found = load(tmp_path / "w")
    assert list(found) == ["conv", "bias"]
    step = np.abs(weights["conv"]).max() / 127
    for name, weight in weights.items():
        assert found[name].dtype == np.float32
        coarse = precision == INT8 and name == "conv"
        within = step / 2 * 1.001 if coarse else np.abs(weight) * 2**-11
        assert (np.abs(found[name] - weight) <= within).all()
        assert not found[name][weight == 0].any()


def test_what_is_no_small_number_comes_back_exactly(tmp_path: Path, load) -> None:
    weights = {
        "batches": np.array(12345678901, dtype=np.int64),
        "flags": np.array([[True, False]]),
        "huge": np.array([1e30, 0, -2.5], dtype=np.float32),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "line\nbreak": np.array([2.5], dtype=np.float64),
    }
    (tmp_path / "w").write_bytes(sparse_file(weights, INT8))
    found = load(tmp_path / "w")
    for name, weight in weights.items():
        assert found[name].dtype == weight.dtype
        np.testing.assert_array_equal(found[name], weight)


@given(arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 300)), st.integers(1, 9))
def test_gap_codes_are_the_gaps_that_the_loader_adds_up(gaps: np.ndarray, bits: int) -> None:
    codes = gap_codes(gaps, bits)
    found, zeros = [], 0
    for code in codes.tolist():
        zeros += code
        if code < 2**bits - 1:
            found.append(zeros)
            zeros = 0
    assert found == gaps.tolist()
    sizes = {other: other * len(gap_codes(gaps, other)) for other in range(1, 12)}
    assert sizes.get(fewest_bits(gaps), 0) == min(sizes.values())


@pytest.mark.parametrize("compression", [10, 20, 50])
@pytest.mark.parametrize(
    "shapes",
    [
        {
            "c1": (6, 1, 5, 5),
            "c2": (16, 6, 5, 5),
            "f1": (120, 400),
            "f2": (84, 120),
            "f3": (10, 84),
        },
        {"conv": (256, 256, 3, 3)},
    ],
    ids=["lenet5", "one large layer"],
)
def test_the_file_is_smaller_by_more_than_the_compression_says(shapes, compression: int) -> None:
    """At least 1.2 times the ratio of {n_i}, biases included, against dense float32."""
    weights = {name: pruned(shape, 1 / compression) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": pruned((shape[0],), 1) for name, shape in shapes.items()}
    dense = 4 * sum(weight.size for weight in weights.values())
    assert dense / len(sparse_file(weights, INT8)) >= 1.2 * compression
    if compression == 10:
        assert dense / len(sparse_file(weights, FLOAT16)) >= 1.2 * compression


def test_the_head_is_a_line_of_json() -> None:
    content = zstandard.decompress(sparse_file({"w": pruned((3, 4), 0.5)}, FLOAT16))
    ((name, shape, dtype, stored, scale, count, bits, _),) = json.loads(content.split(b"\n")[0])
    assert (name, shape, dtype, stored, scale, count) == ("w", [3, 4], "float32", FLOAT16, 1, 6)
    assert 1 <= bits <= 3
