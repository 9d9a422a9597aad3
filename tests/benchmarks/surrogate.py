"""A smooth surrogate of one measured figure: a Gaussian process in the logarithms of keep ratios.

Notation: x (k, layers) = ln(n_i / w_i); y = asinh(figure / unit), which is linear near zero, where
searches decide, and logarithmic where a network collapses or leaks fully.
"""

import dataclasses
import warnings

import numpy as np
from scipy.stats import spearmanr
from sklearn.base import RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

FOLDS = 5
"""Of the cross-validation."""


def _process(layers: int) -> GaussianProcessRegressor:
    """Matern 5/2 with a length scale per layer, and the noise of the measurements."""
    smooth = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(np.ones(layers), (0.1, 1e2), nu=2.5)
    return GaussianProcessRegressor(
        smooth + WhiteKernel(0.05, (1e-5, 1.0)), normalize_y=True, random_state=0
    )


RIVALS = {
    "boosted trees": lambda: HistGradientBoostingRegressor(random_state=0),
    "nearest neighbours": lambda: KNeighborsRegressor(5, weights="distance"),
}
"""Other regressors, whose cross-validated errors stand beside the Gaussian process's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surrogate:
    """One figure as a function of the vector."""

    model: RegressorMixin
    unit: float

    @classmethod
    def fitted(cls, x: np.ndarray, figure: np.ndarray, unit: float) -> "Surrogate":
        """x: (k, layers).  figure: (k,)."""
        return cls(_fit(_process(x.shape[1]), x, np.arcsinh(figure / unit)), unit)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(k, layers) -> (k,) expected figures."""
        figures: np.ndarray = self.unit * np.sinh(self.model.predict(x))
        return figures

    def error(self, x: np.ndarray) -> np.ndarray:
        """(k,) standard errors of the expected figures, to first order."""
        mean, deviation = self.model.predict(x, return_std=True)
        noise = self.model.kernel_.k2.noise_level * self.model._y_train_std**2
        errors: np.ndarray = self.unit * np.cosh(mean) * np.sqrt((deviation**2 - noise).clip(0))
        return errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What cross-validation says of a regressor."""

    root_mean_square: float
    """Of the error, in the figure's own unit, over the rows that count."""

    rank_correlation: float
    """Spearman's, over the same rows."""


def cross_validated(
    x: np.ndarray, figure: np.ndarray, unit: float, near: np.ndarray
) -> dict[str, HeldOut]:
    """Errors on held-out vectors by regressor; "Gaussian process" is the one that is used.

    near: (k,) bool, the rows over which errors are counted.  The process's length scales are of all
    rows, its predictions are not.
    """
    y = np.arcsinh(figure / unit)
    process = _fit(_process(x.shape[1]), x, y)
    fixed = GaussianProcessRegressor(process.kernel_, optimizer=None, normalize_y=True)
    models = {"Gaussian process": fixed} | {name: make() for name, make in RIVALS.items()}
    return {name: _held_out(model, x, y, unit, near) for name, model in models.items()}


def _held_out(
    model: RegressorMixin, x: np.ndarray, y: np.ndarray, unit: float, near: np.ndarray
) -> HeldOut:
    predicted = np.empty_like(y)
    for train, held in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        predicted[held] = _fit(clone(model), x[train], y[train]).predict(x[held])
    found, truth = unit * np.sinh(predicted[near]), unit * np.sinh(y[near])
    return HeldOut(
        root_mean_square=float(np.sqrt(np.mean((found - truth) ** 2))),
        rank_correlation=float(spearmanr(found, truth).statistic),
    )


def _fit(model: RegressorMixin, x: np.ndarray, y: np.ndarray) -> RegressorMixin:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a layer that does not matter
        return model.fit(x, y)
