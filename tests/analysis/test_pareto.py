"""The front against the definition, spelled out pair by pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.pareto import non_dominated

# few distinct values, so that ties are common
POINTS = st.lists(
    st.tuples(
        st.sampled_from([0.8, 0.85, 0.9, 0.95, math.nan]),
        st.sampled_from([-0.01, 0.0, 0.01, 0.02, math.nan]),
    ),
    max_size=30,
)


@given(POINTS)
def test_front_is_what_no_other_point_dominates(points: list[tuple[float, float]]) -> None:
    def dominated(a: float, g: float) -> bool:
        return any(x >= a and y <= g and (x > a or y < g) for x, y in points)

    expected = [not (math.isnan(a) or math.isnan(g)) and not dominated(a, g) for a, g in points]
    found = non_dominated([a for a, _ in points], [g for _, g in points])
    assert found.tolist() == expected


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        non_dominated(np.zeros(3), np.zeros(2))
