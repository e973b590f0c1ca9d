"""What a trainer is given, what it gives back, and the aggregator step that trainers share."""

from dataclasses import dataclass

import numpy as np

from cfens_stack.ensemble.aggregator import (
    AggregatorFit,
    average_offset,
    average_slope,
    even_weights,
    fit_aggregator,
)
from cfens_stack.ensemble.layout import Layout
from cfens_stack.kernels.ridge import fold_in

IMBALANCED_BELOW = 0.2  # share of the rarest class, section 4 of the design


@dataclass(frozen=True)
class Problem:
    """Rows and models with at least one prediction; symbols of `kernels.ridge` and `aggregator`."""

    R: np.ndarray  # (n, q) predictions in model-major order, NaN where missing
    Z: np.ndarray  # (n, q) centred on the link scale, 0 where missing
    C: (
        np.ndarray
    )  # (n, q) or (q,) label-free confidence, mean 1 over observed cells, 0 where missing
    v: np.ndarray  # (n,) sample weights
    y: np.ndarray  # (n,) class codes, -1 where unlabelled
    class_weights: np.ndarray  # (K,)
    mu: np.ndarray  # (q,) column means of the link-scale predictions
    scale: float  # global root mean square of the link-scale predictions about mu
    slopes: np.ndarray  # (q,) calibration slopes, >= 0
    ridge_x: float
    ridge_y: float
    link: str
    layout: Layout
    nonnegative: bool

    @property
    def labelled(self):
        """Rows with a label: ndarray of bool, shape (n,)."""
        return self.y >= 0

    @property
    def s(self):
        """Class weight times sample weight of the labelled rows."""
        return (self.v * self.class_weights[self.y])[self.labelled]

    @property
    def n_scores(self):
        """1 with the sigmoid, K with the softmax."""
        K = len(self.class_weights)
        return 1 if K == 2 and self.layout.n_outputs == 1 else K

    @property
    def gain(self):
        """Unit of each column, (q,): the log-odds for a unit of its link-scale predictions, as
        calibrated alone.

        Scores, of which nobody knows what they mean, are taken in units of their spread.
        """
        if self.layout.kind == "scores":
            return np.full(len(self.mu), 1.0 / self.scale)
        return average_slope(self.layout.n_outputs, self.link) * self.slopes


@dataclass(frozen=True)
class Solution:
    """Factors X (q, d); aggregator W (S, q) and b (S,) on link-scale reconstructions; how they were
    reached.
    """

    X: np.ndarray
    W: np.ndarray
    b: np.ndarray
    aggregator_reg: float
    history: dict
    n_iter: int
    converged: bool


def rarest_share(y, v):
    """Share of the rarest class among the labelled rows: y class codes, -1 where unlabelled; v
    sample weights.
    """
    mass = np.bincount(y[y >= 0], weights=v[y >= 0])
    return float(mass.min() / mass.sum())


def imbalanced_below(n_classes):
    """Share of the rarest class below which labels count as imbalanced: 0.2; with K classes, 0.4 /
    K.
    """
    return 2.0 * IMBALANCED_BELOW / n_classes


def is_imbalanced(problem):
    """Whether the rarest class has a share below 0.2; with K classes, below 0.4 / K."""
    return rarest_share(problem.y, problem.v) < imbalanced_below(len(problem.class_weights))


def aggregator_columns(problem):
    """Which column each aggregator weight multiplies, which score it feeds, and the (w0, b0) it is
    shrunk to.

    A probability votes for its own class. A score votes for every class, since nobody has said
    whose it is.

    Returns
    -------
    source, target : ndarrays of int, shape (p,)
    w0 : ndarray of shape (p,)
        In the unit of the weights, `Problem.gain`: the average of the columns that predict their
        class at all.
    b0 : ndarray of shape (S,)
        On centred predictions.
    """
    q, S, outputs = problem.Z.shape[1], problem.n_scores, problem.layout.n_outputs
    if problem.layout.kind == "scores":
        source, target = np.repeat(np.arange(q), S), np.tile(np.arange(S), q)
        return source, target, np.full(q * S, 1.0 / q if S == 1 else 0.0), np.zeros(S)
    source, target = np.arange(q), np.tile(np.arange(outputs), q // outputs)
    w0 = even_weights(problem.slopes, outputs)
    offset = average_offset(outputs, problem.link)
    return source, target, w0, offset + np.bincount(target, weights=w0 * problem.gain * problem.mu)


def train_aggregator(problem, X, settings, aggregator_reg=None):
    """(W, b) on the fold-in factors of the labelled rows: minimiser of (2), or the plain average.

    Parameters
    ----------
    problem : Problem
    X : ndarray of shape (q, d)
    settings : estimator
        Read for `aggregator`, `aggregator_reg` and `focal_gamma`.
    aggregator_reg : float, default=None
        Instead of that of the settings.

    Returns
    -------
    fit : AggregatorFit
        In the units and columns of the optimisation.
    W : ndarray of shape (S, q)
    b : ndarray of shape (S,)
        Those of (6): score = W r_hat + b.
    """
    source, target, w0, b0 = aggregator_columns(problem)
    if settings.aggregator == "mean":
        fit = AggregatorFit(w0, b0, np.inf, [], True)
    else:
        rows = problem.labelled
        C = problem.C if problem.C.ndim == 1 else problem.C[rows]
        fit = fit_aggregator(
            fold_in(problem.Z[rows], C, X, problem.ridge_y),
            aggregator_loadings(problem, X, source),
            target,
            problem.y[rows],
            problem.s,
            gamma=settings.focal_gamma,
            w0=w0,
            b0=b0,
            aggregator_reg=settings.aggregator_reg if aggregator_reg is None else aggregator_reg,
            nonnegative=problem.nonnegative,
            v=problem.v[rows],
        )
    return fit, *link_scale_weights(problem, fit, source, target)


def aggregator_loadings(problem, X, source):
    """M (p, d) of `aggregation`: the reconstructions that the weights multiply, in the unit of the
    weights.
    """
    return problem.scale * problem.gain[source, None] * X[source]


def link_scale_weights(problem, fit, source, target):
    """W (S, q) and b (S,) of (6), score = W r_hat + b, from a fit in the columns and units of the
    optimisation.
    """
    W = np.zeros((len(fit.b), problem.Z.shape[1]))
    W[target, source] = fit.w * problem.gain[source]
    return W, fit.b - W @ problem.mu
