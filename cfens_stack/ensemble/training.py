"""What a trainer is given, what it gives back, and the aggregator step that trainers share."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from cfens_stack.ensemble.aggregator import (
    AggregatorFit,
    average_offset,
    average_slope,
    even_weights,
    fit_from_sums,
    loss_sums,
)
from cfens_stack.ensemble.encoder import Encoder
from cfens_stack.ensemble.engines import Partitions
from cfens_stack.kernels.ridge import fold_in

IMBALANCED_BELOW = 0.2  # share of the rarest class; with K classes 0.4 / K


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows and models with at least one prediction, encoded.

    Attributes
    ----------
    rows : Partitions of Rows
        With Z and C; symbols of `kernels.ridge`.
    encoder : Encoder
        What made Z and C of the predictions.
    mass : ndarray of shape (K,)
        Weight of the labelled rows of each class.
    class_weights : ndarray of shape (K,)
    slopes : ndarray of shape (q,)
        Calibration slopes, >= 0.
    ridge_x : float
        Ridge of the models' systems; `encoder.ridge` is that of the rows'.
    nonnegative : bool
    """

    rows: Partitions
    encoder: Encoder
    mass: np.ndarray
    class_weights: np.ndarray
    slopes: np.ndarray
    ridge_x: float
    nonnegative: bool

    @property
    def layout(self):
        """Meaning of the columns."""
        return self.encoder.layout

    @property
    def n_columns(self):
        """Number q of columns in use."""
        return len(self.encoder.means)

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
            return np.full(self.n_columns, 1.0 / self.encoder.scale)
        return average_slope(self.layout.n_outputs, self.encoder.link) * self.slopes

    @property
    def is_imbalanced(self):
        """Whether the rarest class has a share below 0.2; with K classes, below 0.4 / K."""
        share = self.mass.min() / self.mass.sum()
        return bool(share < imbalanced_below(len(self.mass)))


@dataclass(frozen=True, eq=False)
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
    q, S, outputs = problem.n_columns, problem.n_scores, problem.layout.n_outputs
    if problem.layout.kind == "scores":
        source, target = np.repeat(np.arange(q), S), np.tile(np.arange(S), q)
        return source, target, np.full(q * S, 1.0 / q if S == 1 else 0.0), np.zeros(S)
    source, target = np.arange(q), np.tile(np.arange(outputs), q // outputs)
    w0 = even_weights(problem.slopes, outputs)
    offset = average_offset(outputs, problem.encoder.link)
    average = np.bincount(target, weights=w0 * problem.gain * problem.encoder.means)
    return source, target, w0, offset + average


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
        likelihood, tilted = losses(problem, X, settings.focal_gamma)
        fit = fit_from_sums(
            likelihood,
            tilted,
            problem.encoder.scale * problem.gain[source, None] * X[source],
            target,
            w0=w0,
            b0=b0,
            aggregator_reg=settings.aggregator_reg if aggregator_reg is None else aggregator_reg,
            nonnegative=problem.nonnegative,
            n=problem.mass.sum(),
        )
    # From the columns and units of the optimisation to score = W r_hat + b.
    W = np.zeros((len(fit.b), problem.n_columns))
    W[target, source] = fit.w * problem.gain[source]
    return fit, W, fit.b - W @ problem.encoder.means


def losses(problem, X, focal_gamma):
    """The unweighted log loss of the labelled rows, and the loss of (2): callables V -> `loss_sums`.

    The same object twice if class weights and focal loss change nothing.
    """
    factors = problem.rows.map(partial(labelled_factors, X=X, ridge=problem.encoder.ridge))

    def loss(class_weights, gamma):
        return lambda V: factors.sum(
            partial(factor_loss_sums, V=V, class_weights=class_weights, gamma=gamma)
        )

    likelihood = loss(None, 0.0)
    if focal_gamma == 0 and np.all(problem.class_weights == 1):
        return likelihood, likelihood
    return likelihood, loss(problem.class_weights, focal_gamma)


def labelled_factors(rows, X, ridge):
    """Fold-in factors of the labelled rows with a column of ones, their class codes and weights."""
    rows = rows.labelled()
    Y = fold_in(rows.Z, rows.C, X, ridge)
    return np.column_stack([Y, np.ones(len(Y))]), rows.y, rows.v


def factor_loss_sums(factors, V, class_weights, gamma):
    """`loss_sums` of one partition."""
    Y, y, v = factors
    return loss_sums(V, Y, y, v if class_weights is None else v * class_weights[y], gamma)
