"""What a trainer is given, what it gives back, and the aggregator step that trainers share."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from cfens_stack.ensemble.aggregator import (
    AggregatorFit,
    average_offset,
    average_slope,
    even_weights,
    fit_from_sums,
    intercepts_for,
)
from cfens_stack.ensemble.encoder import Encoder
from cfens_stack.ensemble.engines import Partitions
from cfens_stack.ensemble.labelled_factors import LabelledFactors, link_scale_weights
from cfens_stack.ensemble.losses import loss_sums
from cfens_stack.ensemble.newton import LARGEST_STEP, minimise

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
    n_labelled : int
    class_weights : ndarray of shape (K,)
    slopes : ndarray of shape (q,)
        Calibration slopes, >= 0.
    ridge_x : float
        Ridge of the models' systems; `encoder.ridge` is that of the rows'.
    nonnegative : bool
    missing_moment : ndarray of shape (q, q) or None
        What the uncertainty of filled cells adds to the second moment of the rows.
    changes : list of float
        Relative change of the covariance of complete rows at each sweep of EM.
    gram : ndarray of shape (q, q) or None
        Z'VZ of the rows, where completion has summed it.
    """

    rows: Partitions
    encoder: Encoder
    mass: np.ndarray
    n_labelled: int
    class_weights: np.ndarray
    slopes: np.ndarray
    ridge_x: float
    nonnegative: bool
    missing_moment: np.ndarray | None = None
    changes: list = field(default_factory=list)
    gram: np.ndarray | None = None

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
    """Factors X (q, d); aggregator W (S, q) and b (S,) on link-scale reconstructions, and the base
    (S,) that scores of rows with missing cells are damped to; how they were reached.
    """

    X: np.ndarray
    W: np.ndarray
    b: np.ndarray
    base: np.ndarray
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

    Scores of rows with missing cells are damped by the weights of the calibrated average, and the
    intercepts are fitted once more when they are damped by the weights found.

    Parameters
    ----------
    problem : Problem
    X : ndarray of shape (q, d)
    settings : estimator
        Read for `aggregator`, `aggregator_reg` and `focal_gamma`.
    aggregator_reg : float or pair of floats, default=None
        Instead of that of the settings.

    Returns
    -------
    fit : AggregatorFit
        In the units and columns of the optimisation.
    W : ndarray of shape (S, q)
    b : ndarray of shape (S,)
        Those of (6): score = W r_hat + b.
    base : ndarray of shape (S,)
        Score of the class shares under the loss in use.
    """
    columns = aggregator_columns(problem)
    source, target, w0, b0 = columns
    gamma, mu = settings.focal_gamma, problem.encoder.means
    base = base_scores(problem, problem.class_weights * problem.mass, gamma)
    if settings.aggregator == "mean":
        W = link_scale_weights(problem, columns, w0)
        return AggregatorFit(w0, b0, np.inf, [], True), W, b0 - W @ mu, base
    factors = LabelledFactors(problem, X, columns)
    factors.damp(w0)
    shares = base_scores(problem, problem.mass, 0.0)
    plain = factors.loss(None, 0.0, shares)
    same = gamma == 0 and np.all(problem.class_weights == 1)
    tilted = plain if same else factors.loss(problem.class_weights, gamma, base)
    M = problem.encoder.scale * problem.gain[source, None] * X[source]
    fit = fit_from_sums(
        plain,
        tilted,
        M,
        target,
        w0=w0,
        b0=np.clip(b0, shares - LARGEST_STEP, shares + LARGEST_STEP),
        aggregator_reg=settings.aggregator_reg if aggregator_reg is None else aggregator_reg,
        nonnegative=problem.nonnegative,
        n=problem.mass.sum(),
        undamped=factors.loss(None, 0.0, None),
        # Two classes have nothing of their own: their columns are each other's opposite. Nor do
        # scores, whose mean over the classes tells nothing.
        by_class=problem.n_scores > 2 and problem.layout.kind != "scores",
        sampled=factors.sampled_likelihood(base_scores(problem, problem.mass, 0.0)),
    )
    if factors.damp(fit.w):
        loss = factors.loss(None if same else problem.class_weights, gamma, base)
        fit = replace(fit, b=intercepts_for(fit, loss, M, target))
    W = link_scale_weights(problem, columns, fit.w)
    return fit, W, fit.b - W @ mu, base


def base_scores(problem, mass, gamma):
    """Constant scores (S,) that minimise the focal loss of rows with this weight in each class."""
    K, S = len(mass), problem.n_scores
    start = np.log(mass) - np.log(mass).mean() if S > 1 else np.log(mass[1:] / mass[:1])
    if gamma == 0:
        return start
    ones, codes = np.ones((K, 1)), np.arange(K)
    sums = partial(loss_sums, Y=ones, y=codes, s=mass, gamma=gamma)
    return minimise(
        start, sums, np.ones((S, 1)), np.arange(S), w0=np.empty(0), strength=0.0, nonnegative=False
    )[0]
