"""Calibration slope of each column: the factor that its link-scale predictions need, alone, to
predict its class.

======  ======  ====================================================================================
symbol  shape   meaning
======  ======  ====================================================================================
x       (n, q)  centred predictions in the unit of log-odds; any finite number where not observed
a, b    (q,)    slope and intercept of each column's own logistic regression,
                P(class of the column) = sigmoid(a x + b)
======  ======  ====================================================================================

Column u minimises, over its observed labelled cells, sum_i v_i CE_iu + (a_u - 1)^2 / 2 + (b_u -
b0_u)^2 / 2: calibrated as they stand (a = 1) at the prevalence (b0) is what models are taken for
until the labels say otherwise (Platt 1999, with a prior in place of his smoothed targets).
"""

from functools import partial

import numpy as np

from cfens_stack.kernels.blocks import BLOCK_ROWS, blocks, weighted_total
from cfens_stack.kernels.logistic import column_sums, is_compiled

MAX_ITER = 100
OPPOSITE = -3.09  # standard errors: p = .001, one-sided
# Rows that the start is taken from: it saves two or three passes over all of them.
START_ROWS = 4096
# Nats, of which chance moves about one: Newton's last step goes far below it.
DECREMENT_TOLERANCE = 1e-4
ROUNDING = 1e-12


def calibration_slopes(cells, unit):
    """Slopes of all columns.

    Parameters
    ----------
    cells : Partitions of (Z, observed, targets, v)
        Of the labelled rows: centred predictions, whether observed, whether the row is of the
        column's class, each (n, q), and weights (n,).
    unit : float
        Log-odds for a unit of Z, for a calibrated model.

    Returns
    -------
    a : ndarray of shape (q,), >= 0
        0 for a column that predicts the opposite of its class: on its own it is of no use.
    opposite : ndarray of bool, shape (q,)
        Columns that do so significantly: their own minimiser is below 0 with p < .001.
    """
    mass, total, n = cells.sum(class_sums)
    b0 = base_log_odds(mass, total)

    def sums(a, b, step=1):
        return cells.sum(partial(slope_sums, a=a, b=b, unit=unit, step=step))

    step = int(n) // START_ROWS
    start = minimiser(partial(sums, step=step), b0) if step > 1 else None
    theta = minimiser(sums, b0, start)
    # The problem is convex: where its minimiser is negative, the one over a >= 0 is 0.
    return np.maximum(theta[0], 0.0), is_opposite(theta, sums)


def is_opposite(theta, sums):
    """Columns whose slope is below 0 by more than its standard error explains: (q,)."""
    if not (theta[0] < 0).any():
        return np.zeros(theta.shape[1], dtype=bool)
    aa, ab, bb = sums(*theta)[2] + np.array([[1.0], [0.0], [1.0]])  # the prior's curvature is I
    return theta[0] * np.sqrt(aa - ab**2 / bb) < OPPOSITE


def class_sums(cells):
    """`target_sums` of one partition, and its number of rows."""
    _, _, targets, v = cells
    return *target_sums(targets, v), len(v)


def slope_sums(cells, a, b, unit, step):
    """`logistic_sums` of every step-th row of one partition."""
    Z, observed, targets, v = cells if step == 1 else (values[::step] for values in cells)
    return logistic_sums(a, b, Z, observed, targets, v, unit)


def target_sums(targets, v):
    """Weight of each column's class, and of all rows: ndarray of shape (q,), float."""
    return weighted_total(v, lambda targets: targets, targets), v.sum()


def base_log_odds(mass, total):
    """b0 of each column, from `target_sums` over all rows."""
    return np.log(mass / (total - mass))


def logistic_sums(a, b, Z, observed, targets, v, unit):
    """Cross-entropy of each column at (a, b), its gradient (2, q) and Hessian (3, q), aa, ab and
    bb: sums over rows.
    """
    if is_compiled(len(Z)):
        loss, gradient, hessian = column_sums(unit * a, b, Z, observed, targets, v)
        # The kernel's slope is that of unit * a.
        return loss, gradient * [[unit], [1.0]], hessian * [[unit**2], [unit], [1.0]]
    loss, gradient, hessian = np.zeros(len(a)), np.zeros((2, len(a))), np.zeros((3, len(a)))
    # New arrays in each block would cost more than what is done in them.
    room = np.empty((6, min(BLOCK_ROWS, len(Z)), len(a)))
    ones = np.ones(len(Z))
    for rows in blocks(len(Z)):
        weight, x, u, p, curvature, spare = room[:, : rows.stop - rows.start]
        np.multiply(v[rows, None], observed[rows], out=weight)
        np.multiply(Z[rows], unit, out=x)
        np.multiply(a, x, out=u)
        u += b
        tail = np.exp(np.negative(np.abs(u, out=p), out=p), out=p)
        log_loss = np.log1p(tail, out=spare)
        log_loss += np.maximum(u, 0.0, out=curvature)
        log_loss -= np.multiply(targets[rows], u, out=curvature)
        loss += np.einsum("iu,iu->u", weight, log_loss)
        larger = np.reciprocal(np.add(tail, 1.0, out=spare), out=spare)
        p *= larger
        np.multiply(p, larger, out=curvature)
        larger -= 0.5
        np.copysign(larger, u, out=p)  # several times faster than a choice by mask
        p += 0.5
        p -= targets[rows]
        slope = np.multiply(p, weight, out=p)
        gradient += np.einsum("iu,iu->u", slope, x), ones[rows] @ slope
        curvature *= weight
        tilted = np.multiply(curvature, x, out=spare)
        hessian += np.einsum("iu,iu->u", tilted, x), ones[rows] @ tilted, ones[rows] @ curvature
    return loss, gradient, hessian


def minimiser(sums, b0, start=None):
    """(a, b) by Newton steps in all columns at once, halved in those where the objective rises: (2,
    q).
    """
    prior = np.stack([np.ones_like(b0), b0])
    theta, step = prior if start is None else start, np.zeros_like(prior)
    lowest = np.full(len(b0), np.inf)
    for _ in range(MAX_ITER):
        trial = theta + step
        loss, gradient, hessian = sums(*trial)
        value = loss + 0.5 * np.sum((trial - prior) ** 2, axis=0)
        gradient = gradient + trial - prior
        newton, decrement = _newton_steps(gradient, hessian + np.array([[1.0], [0.0], [1.0]]))
        better = value <= lowest + ROUNDING * np.abs(value)
        theta, lowest = np.where(better, trial, theta), np.where(better, value, lowest)
        step = np.where(better, newton, 0.5 * step)
        if np.all(better & (decrement <= DECREMENT_TOLERANCE)):
            return theta + step
    return theta


def _newton_steps(gradient, hessian):
    """Newton step (2, q), and the decrease that each column's quadratic model predicts twice:
    (q,).
    """
    aa, ab, bb = hessian
    step = -np.stack([bb * gradient[0] - ab * gradient[1], aa * gradient[1] - ab * gradient[0]]) / (
        aa * bb - ab**2
    )
    return step, -np.sum(step * gradient, axis=0)
