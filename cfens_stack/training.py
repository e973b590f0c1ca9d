"""What a trainer is given, what it gives back, and the aggregator step that all trainers end with."""

from dataclasses import dataclass

import numpy as np

from cfens_stack.aggregation import AggregatorFit, average_weights, fit_aggregator


@dataclass(frozen=True)
class Problem:
    """Rows with at least one prediction, columns with at least one; symbols of `least_squares` and `aggregation`."""

    R: np.ndarray  # (n, m) predictions as passed, NaN where missing
    Z: np.ndarray  # (n, m) centred on the link scale, 0 where missing
    C: np.ndarray  # (n, m) or (m,) label-free confidence, mean 1 over observed cells, 0 where missing
    v: np.ndarray  # (n,) sample weights
    y: np.ndarray  # (n,) class codes
    s: np.ndarray  # (n,) class weight times sample weight
    mu: np.ndarray  # (m,) column means of the link-scale predictions
    scale: float  # global root mean square of the link-scale predictions about mu
    ridge_x: float
    ridge_y: float
    link: str
    nonnegative: bool


@dataclass(frozen=True)
class Solution:
    """Factors X (m, d); aggregator w (m,) and intercept on link-scale reconstructions; how they were reached."""

    X: np.ndarray
    w: np.ndarray
    intercept: float
    history: dict
    n_iter: int
    converged: bool


def train_aggregator(problem, Y, X, settings):
    """(w, b) on the fold-in factors Y of the rows: minimiser of (2), or the plain average for aggregator="mean".

    Returns
    -------
    AggregatorFit
        With b the intercept of (6), p = sigmoid(w . r_hat + b).
    """
    w0, b0 = average_weights(len(X), problem.link)
    if settings.aggregator == "mean":
        return AggregatorFit(w0, b0, [], True)
    mean_score = problem.mu @ w0
    fit = fit_aggregator(
        Y,
        problem.scale * X,
        problem.y,
        problem.s,
        gamma=settings.focal_gamma,
        w0=w0,
        b0=b0 + mean_score,
        strength=settings.aggregator_reg / problem.v.sum(),
        nonnegative=problem.nonnegative,
    )
    return AggregatorFit(fit.w, float(fit.b - problem.mu @ fit.w), fit.history, fit.converged)
