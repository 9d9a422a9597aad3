"""Which layers' keep ratios decide: PED-ANOVA's importances for leak and for accuracy.

PED-ANOVA (Watanabe, Bansal and Hutter 2023, IJCAI) compares, for one parameter at a time, how the
best tenth of the trials is spread with how all of them are.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.statistics.trials import search_trials
from trainables.records import COMPLETE

FEWEST_TRIALS = 30
"""With fewer, the best tenth is two trials, and chance decides."""

MOST_TRIALS = 1000
"""Of more, every so manyth counts: shares hardly move, and a report stays a matter of seconds."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Importances:
    """Shares that sum to one over the groups of layers, the most important for the leak first."""

    layers: list[str]
    """The name of a layer, or those of the first and last that always share a keep ratio."""

    leak: list[float]
    accuracy: list[float]


def varies(trials: pd.DataFrame) -> bool:
    """Whether finished trials of the search tried different {n_i} of several layers."""
    rows = search_trials(trials)
    rows = rows[rows["state"] == COMPLETE].dropna(subset=["excess_gain"])
    tried = {tuple(n) for n in rows["n"]}
    return len(tried) > 1 and len(min(tried)) > 1


def importances(trials: pd.DataFrame) -> Importances | None:
    """Of each layer's keep ratio; None where too few trials finished or nothing was varied."""
    rows = search_trials(trials)
    rows = rows[rows["state"] == COMPLETE].dropna(subset=["excess_gain", "val_accuracy"])
    if len(rows) < FEWEST_TRIALS or rows[["excess_gain", "val_accuracy"]].nunique().min() == 1:
        return None
    rows = rows.iloc[:: math.ceil(len(rows) / MOST_TRIALS)]
    ratios = keep_ratios(rows)
    first = rows.iloc[0]
    groups = _groups(ratios, first["layer_weights"], first["layer_names"])
    if len(groups) < 2:
        return None
    columns = {name: ratios[:, layer] for name, layer in groups.items()}
    leak = _ped_anova(columns, rows["excess_gain"].to_numpy(dtype=float))
    accuracy = _ped_anova(columns, -rows["val_accuracy"].to_numpy(dtype=float))
    order = sorted(groups, key=lambda name: -leak[name])
    return Importances(
        layers=order,
        leak=[leak[name] for name in order],
        accuracy=[accuracy[name] for name in order],
    )


def keep_ratios(rows: pd.DataFrame) -> np.ndarray:
    """(trials, layers) shares of weights kept."""
    kept = np.array(rows["n"].tolist(), dtype=float)
    ratios: np.ndarray = kept / np.array(rows["layer_weights"].tolist(), dtype=float)
    return ratios


def _groups(ratios: np.ndarray, sizes: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """Name -> one of its layers; layers that always share a keep ratio are one group.

    Counts are whole, so the ratios of such layers differ by up to a weight of each.  What never
    varies is left out.
    """
    groups: list[list[int]] = []
    for layer in range(ratios.shape[1]):
        if np.ptp(ratios[:, layer]) == 0:
            continue
        for group in groups:
            reach = 1 / sizes[layer] + 1 / sizes[group[0]]
            if np.abs(ratios[:, layer] - ratios[:, group[0]]).max() <= reach:
                group.append(layer)
                break
        else:
            groups.append([layer])
    return {
        names[group[0]] + (f" to {names[group[-1]]}" if len(group) > 1 else ""): group[0]
        for group in groups
    }


def _ped_anova(columns: dict[str, np.ndarray], values: np.ndarray) -> dict[str, float]:
    """Name -> importance for small values."""
    import optuna  # a second of imports, for reports of searches only

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it says of every study that it is made
    study = optuna.create_study()
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(
            ratio.min(), ratio.max(), log=bool(ratio.min() > 0)
        )
        for name, ratio in columns.items()
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: float(ratio[at]) for name, ratio in columns.items()},
                distributions=ranges,
                value=float(value),
            )
            for at, value in enumerate(values)
        ]
    )
    return dict(
        optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    )
