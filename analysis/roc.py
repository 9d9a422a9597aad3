"""ROC curves of membership scores, with bootstrap intervals over images.

Notation: n images, b bootstrap replicates. A replicate gives each image a weight, the number of
times it was drawn; members and non-members are drawn separately, so their numbers stay fixed.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics import LEVEL, Interval, mean_over_seeds
from trainables.attacks.gain import NO_LEAK, attack_gain

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REPLICATES = 1000
CHUNK = 4_000_000
"""How many weights are in memory at a time."""

FEWEST = 2
"""The fewest members, and non-members, that a curve needs."""

RATES = (0.01, 0.001)
"""False-positive rates at which the true-positive rate is reported."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """What one attack's scores of one model say, on members and non-members of one kind."""

    model: str
    attack: str
    canary: bool
    """Whether the images are the mislabelled ones."""

    members: int
    non_members: int
    false_positive_rate: Floats
    true_positive_rate: Floats
    auc: Interval
    excess_gain: Interval
    """Nats, from the calibrated probabilities; 0 means no leak."""

    tpr: dict[float, Interval]
    """False-positive rate -> largest true-positive rate that does not exceed it."""


def curves(scores: pd.DataFrame, replicates: int = REPLICATES) -> list[Curve]:
    """One curve per model, attack and kind of image, dense first, the strongest attack first.

    scores: columns model, attack, is_member, canary, score, probability; one row per image.
    """
    found = [
        _curve(str(model), str(attack), bool(canary), rows, replicates)
        for (model, attack, canary), rows in scores.groupby(["model", "attack", "canary"])
        if FEWEST <= rows["is_member"].sum() <= len(rows) - FEWEST
    ]
    return sorted(found, key=lambda c: (c.canary, c.model != "dense", -c.auc.estimate, c.attack))


def strongest(scores: pd.DataFrame) -> dict[str, tuple[str, Interval]]:
    """Model -> the attack that gains most on its images with their own label, and its excess gain.

    scores: as for `curves`. Each gain is the largest of several on one set of images, so a little
    too large for every model. The interval is over images, in nats.
    """
    found: dict[str, tuple[str, Interval]] = {}
    usual = scores[~scores["canary"].astype(bool)]
    for (model, attack), rows in usual.groupby(["model", "attack"]):
        members = rows["is_member"].to_numpy(dtype=bool)
        if not FEWEST <= members.sum() <= len(rows) - FEWEST:
            continue
        gain = _excess(rows["probability"].to_numpy(dtype=np.float64), members)
        if str(model) not in found or gain.estimate > found[str(model)][1].estimate:
            found[str(model)] = (str(attack), gain)
    return found


def _curve(model: str, attack: str, canary: bool, rows: pd.DataFrame, replicates: int) -> Curve:
    is_member = rows["is_member"].to_numpy(dtype=bool)
    scores = rows["score"].to_numpy(dtype=np.float64)
    order, ends = descending(scores)
    plain = np.ones((1, len(scores)))
    estimates = _figures(plain, is_member, order, ends)
    drawn = np.concatenate(
        [
            _figures(weights, is_member, order, ends)
            for weights in bootstrap_weights(is_member, replicates)
        ]
    )
    auc, *tprs = (
        _interval(float(value), column) for value, column in zip(estimates[0], drawn.T, strict=True)
    )
    false_rate, true_rate = rates(plain, is_member, order, ends)
    return Curve(
        model=model,
        attack=attack,
        canary=canary,
        members=int(is_member.sum()),
        non_members=int((~is_member).sum()),
        false_positive_rate=np.concatenate([[0.0], false_rate[0]]),
        true_positive_rate=np.concatenate([[0.0], true_rate[0]]),
        auc=auc,
        excess_gain=_excess(rows["probability"].to_numpy(dtype=np.float64), is_member),
        tpr=dict(zip(RATES, tprs, strict=True)),
    )


def descending(scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order from the highest score, and the last position of each group of equal scores."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return order, ends


def bootstrap_weights(is_member: Bools, replicates: int, seed: int = 0) -> Iterator[Floats]:
    """(b, n) weights, a part of the replicates at a time; all attacks share the seed."""
    generator = np.random.default_rng(seed)
    sides = [np.flatnonzero(is_member), np.flatnonzero(~is_member)]
    done = 0
    while done < replicates:
        count = min(replicates - done, max(1, CHUNK // len(is_member)))
        weights = np.empty((count, len(is_member)))
        for side in sides:
            even = np.full(len(side), 1 / len(side))
            weights[:, side] = generator.multinomial(len(side), even, size=count)
        done += count
        yield weights


def rates(
    weights: Floats, is_member: Bools, order: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """False and true positive rates, two (b, groups), as the threshold falls past each group."""
    sides = []
    for side in (~is_member, is_member):
        counted = np.cumsum((weights * side)[:, order], axis=1)[:, ends]
        sides.append(counted / counted[:, -1:])
    return sides[0], sides[1]


def _figures(
    weights: Floats, is_member: Bools, order: NDArray[np.int64], ends: NDArray[np.int64]
) -> Floats:
    """(b, 1 + rates): area under the curve by trapezia (a tie counts half), then the TPRs."""
    false_rate, true_rate = rates(weights, is_member, order, ends)
    wide = np.pad(false_rate, ((0, 0), (1, 0)))
    high = np.pad(true_rate, ((0, 0), (1, 0)))
    area = (np.diff(wide, axis=1) * (high[:, 1:] + high[:, :-1]) / 2).sum(axis=1)
    hits = [np.where(false_rate <= rate + 1e-12, true_rate, 0.0).max(axis=1) for rate in RATES]
    return np.column_stack([area, *hits])


def _interval(estimate: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        estimate=estimate,
        low=float(low),
        high=float(high),
        standard_error=float(drawn.std(ddof=1)),
    )


def _excess(probability: Floats, is_member: Bools) -> Interval:
    """The excess gain of eq. 1 with a normal interval over images."""
    gain = attack_gain(probability, is_member)
    return mean_over_seeds([gain.value - NO_LEAK], [gain.standard_error])
