"""Fold-in factors of the labelled rows, on which the aggregator is fitted, and their losses."""

from functools import partial

import numpy as np

from cfens_stack.ensemble.damping import damping_of
from cfens_stack.ensemble.engines import Partitions
from cfens_stack.ensemble.losses import loss_sums
from cfens_stack.kernels.ridge import fold_in

# Labelled rows that the aggregator starts from where there are many more: they save two or three
# passes over all of them.
START_ROWS, START_STEP = 16384, 4


class LabelledFactors:
    """Fold-in factors of the labelled rows, and the losses of scores that are linear in them.

    Parameters
    ----------
    problem : Problem
    X : ndarray of shape (q, d)
    columns : tuple
        `aggregator_columns`.
    """

    def __init__(self, problem, X, columns):
        self.problem, self.X, self.columns = problem, X, columns
        fold = partial(labelled_factors, X=X, ridge=problem.encoder.ridge)
        self.undamped = self.damped = problem.rows.map(fold)

    def damp(self, w):
        """Damp rows with missing cells as weights w (p,) do; whether there are any."""
        W = link_scale_weights(self.problem, self.columns, w)
        damping = damping_of(self.problem.encoder, self.X, W)
        if damping is None or not self.problem.changes:
            return False
        dampings = self.problem.rows.map(partial(labelled_damping, damping=damping))
        self.damped = Partitions(
            self.undamped.engine,
            self.undamped.engine.map(damped_factors, self.undamped.handles, dampings.handles),
        )
        return True

    def loss(self, class_weights, gamma, base):
        """Callable V -> `loss_sums` over the labelled rows; base None leaves scores undamped."""
        factors = self.undamped if base is None else self.damped
        known = None if factors is self.undamped else base
        step = partial(factor_loss_sums, class_weights=class_weights, gamma=gamma, base=known)
        return lambda V: factors.sum(partial(step, V=V))

    def sampled_likelihood(self, base):
        """`loss` of a sample of the rows, here, without class weights; None where all are few."""
        step = self.problem.n_labelled // START_ROWS
        if step < START_STEP:
            return None
        parts = self.damped.gather(partial(every, step=step))
        sample = tuple(map(np.concatenate, zip(*parts, strict=True)))
        known = None if self.damped is self.undamped else base
        return partial(factor_loss_sums, sample, class_weights=None, gamma=0.0, base=known)


def link_scale_weights(problem, columns, w):
    """W (S, q) on link-scale reconstructions, from weights in the units of the optimisation."""
    source, target, _, b0 = columns
    W = np.zeros((len(b0), problem.n_columns))
    W[target, source] = w * problem.gain[source]
    return W


# Steps on the rows of one partition.


def labelled_factors(rows, X, ridge):
    """Fold-in factors of the labelled rows with a column of ones, their class codes and weights."""
    rows = rows.labelled()
    Y = fold_in(rows.Z, rows.C, X, ridge)
    return np.column_stack([Y, np.ones(len(Y))]), rows.y, rows.v


def labelled_damping(rows, damping):
    """kappa and t of the labelled rows, or None."""
    return damping(rows.labelled().observed_confidence())


def damped_factors(factors, damping):
    """Factors such that scores are linear in them: kappa y, 1 - t, and t, whose weight is the base."""
    Y, y, v = factors
    kappa, t = (np.ones(len(Y)), np.zeros(len(Y))) if damping is None else damping
    Y = np.column_stack([kappa[:, None] * Y, t])
    Y[:, -2] = 1.0 - t
    return Y, y, v


def every(factors, step):
    """Every step-th row."""
    return tuple(values[::step] for values in factors)


def factor_loss_sums(factors, V, class_weights, gamma, base):
    """`loss_sums` of one partition."""
    Y, y, v = factors
    return loss_sums(V, Y, y, v if class_weights is None else v * class_weights[y], gamma, base)
