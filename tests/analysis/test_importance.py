"""Importances find the layer that decides, and nothing where too little was tried."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis import figures, statistics
from analysis.statistics.importance import FEWEST_TRIALS, MOST_TRIALS
from tests.analysis.conftest import LAYERS, WEIGHTS


def searched(make: SimpleNamespace, count: int, *, tied: bool = False) -> pd.DataFrame:
    """Trials whose second layer alone leaks and whose third alone makes accurate."""
    generator = np.random.default_rng(0)
    ratios = np.exp(generator.uniform(np.log(0.05), 0, (count, len(WEIGHTS))))
    if tied:
        ratios[:, 3:] = ratios[:, 2:3]
    return make.frame(
        [
            make.trial(
                "search",
                number,
                n=[max(1, round(keep * size)) for keep, size in zip(kept, WEIGHTS, strict=True)],
                excess=0.02 + 0.01 * float(np.log(kept[1])),
                val_accuracy=0.95 + 0.02 * float(np.log(kept[2])),
            )
            for number, kept in enumerate(ratios)
        ]
    )


@pytest.mark.parametrize("count", [80, MOST_TRIALS + 200])
def test_the_layer_that_leaks_and_the_one_that_is_accurate_are_found(make, count) -> None:
    found = statistics.importances(searched(make, count))
    assert found is not None
    assert found.layers[0] == LAYERS[1]
    assert found.layers[int(np.argmax(found.accuracy))] == LAYERS[2]
    assert sum(found.leak) == pytest.approx(1)
    assert found.leak == sorted(found.leak, reverse=True)
    assert f"{LAYERS[1]} {found.leak[0]:.0%}" in figures.importances(found)


def test_layers_that_share_a_keep_ratio_are_one(make: SimpleNamespace) -> None:
    found = statistics.importances(searched(make, 80, tied=True))
    assert found is not None
    assert set(found.layers) == {*LAYERS[:2], f"{LAYERS[2]} to {LAYERS[4]}"}


def test_too_few_trials_or_none_that_differ_say_nothing(make: SimpleNamespace) -> None:
    assert statistics.importances(searched(make, FEWEST_TRIALS - 1)) is None
    same = make.frame([make.trial("search", number) for number in range(FEWEST_TRIALS)])
    assert statistics.importances(same) is None
    assert not statistics.varies(same)
    alike = searched(make, 80).assign(excess_gain=0.02)
    assert statistics.importances(alike) is None
    assert not statistics.varies(make.frame([]).reindex(columns=same.columns))


def test_of_very_many_trials_the_lines_stay_few(make: SimpleNamespace) -> None:
    trials = searched(make, 600)
    assert statistics.varies(trials)
    picture = figures.parallel(trials, None)
    assert "200 of 600 complete trials" in picture
    assert len(picture) < 300_000
