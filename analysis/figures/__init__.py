"""Every picture of the reports, as inline SVG: tables in, markup out."""

from analysis.colours import BLUE, INK
from analysis.figures.attack_gains import (
    ROC_VARIANTS,
    accuracy_gap,
    attack_intervals,
    attacks,
    roc,
    theory,
    winners_curse,
)
from analysis.figures.best_so_far import compare_progress, progress
from analysis.figures.defenses import defenses
from analysis.figures.drawing import MARKERS, SERIES
from analysis.figures.exposed import exposed
from analysis.figures.leak_against_accuracy import FARTHEST, Front, front, fronts, tradeoff
from analysis.figures.networks import layers, weight_histograms
from analysis.figures.pairs import forest
from analysis.figures.searched import importances, parallel
from analysis.figures.training import losses, residuals

__all__ = [
    "BLUE",
    "FARTHEST",
    "INK",
    "MARKERS",
    "ROC_VARIANTS",
    "SERIES",
    "Front",
    "accuracy_gap",
    "attack_intervals",
    "attacks",
    "compare_progress",
    "defenses",
    "exposed",
    "forest",
    "front",
    "fronts",
    "importances",
    "layers",
    "losses",
    "parallel",
    "progress",
    "residuals",
    "roc",
    "theory",
    "tradeoff",
    "weight_histograms",
    "winners_curse",
]
