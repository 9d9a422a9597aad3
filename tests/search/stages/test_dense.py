"""What the dense stage passes on is what was trained, or the run ends."""

import pytest

from search.stages.dense import require_as_trained
from search.tune.required import StageFailed

ROW = {"val_accuracy": 0.842, "node": "a", "device": "cpu"}


@pytest.mark.parametrize(
    ("trained", "fits"),
    [
        ({}, True),
        ({"val_accuracy": 0.841}, False),
        ({"val_accuracy": 0.115}, False),
        ({"val_accuracy": 0.841, "node": "b"}, True),  # another processor rounds otherwise
        ({"val_accuracy": 0.830, "node": "b"}, False),
        ({"val_accuracy": 0.840, "device": "NVIDIA"}, True),
        ({"val_accuracy": 0.830, "device": "NVIDIA"}, False),
    ],
)
def test_the_dense_model_is_measured_as_it_was_trained(trained, fits) -> None:
    reported = {**ROW, **trained}
    if fits:
        require_as_trained(reported, ROW)
        return
    with pytest.raises(StageFailed, match=r"had validation accuracy .* have 0.8420: the network"):
        require_as_trained(reported, ROW)
