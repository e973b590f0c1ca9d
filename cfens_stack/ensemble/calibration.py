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

from cfens_stack.ensemble.engines import in_memory
from cfens_stack.kernels.blocks import BLOCK_ROWS, blocks
from cfens_stack.kernels.logistic import column_sums, is_compiled

MAX_ITER = 100
OPPOSITE = -3.09  # standard errors: p = .001, one-sided
# Rows that the start is taken from: it saves two or three passes over all of them.
FEWEST_START_ROWS, MOST_START_ROWS, START_SHARE = 8192, 65536, 8
# Nats, of which chance moves about one: Newton's last step goes far below it.
DECREMENT_TOLERANCE = 1e-4
HALVED = 0.5
PRIOR_CURVATURE = np.array([[1.0], [0.0], [1.0]])  # aa, ab, bb


def calibration_slopes(cells, classes, unit):
    """Slopes of all columns.

    Parameters
    ----------
    cells : Partitions of (Z, observed, y, v)
        Of the labelled rows: centred predictions and whether observed (None: all are), each (n, q);
        class codes and weights, each (n,).
    classes : ndarray of int, shape (q,)
        Class code of each column.
    unit : float
        Log-odds for a unit of Z, for a calibrated model.

    Returns
    -------
    a : ndarray of shape (q,), >= 0
        0 for a column that predicts the opposite of its class: on its own it is of no use.
    opposite : ndarray of bool, shape (q,)
        Columns that do so significantly: their own minimiser is below 0 with p < .001.
    """
    mass, seen, products, total, n = cells.sum(partial(target_sums, classes=classes))
    b0 = base_log_odds(mass, total)
    derivatives = partial(slope_derivatives, cells, np.stack([unit * products, seen]), unit)
    step = int(n) // int(np.clip(n / START_SHARE, FEWEST_START_ROWS, MOST_START_ROWS))
    start = None
    if step > 1:
        sample = in_memory(joined(cells.gather(partial(every, step=step))))
        _, seen, products, *_ = sample.sum(partial(target_sums, classes=classes))
        targets = np.stack([unit * products, seen])
        start = minimiser(partial(slope_derivatives, sample, targets, unit), b0)
    theta = minimiser(derivatives, b0, start)
    # The problem is convex: where its minimiser is negative, the one over a >= 0 is 0.
    return np.maximum(theta[0], 0.0), is_opposite(theta, derivatives)


def is_opposite(theta, derivatives):
    """Columns whose slope is below 0 by more than its standard error explains: (q,)."""
    negative = np.flatnonzero(theta[0] < 0)
    opposite = np.zeros(theta.shape[1], dtype=bool)
    if len(negative):
        aa, ab, bb = derivatives(*theta[:, negative], negative)[1] + PRIOR_CURVATURE
        opposite[negative] = theta[0, negative] * np.sqrt(aa - ab**2 / bb) < OPPOSITE
    return opposite


def slope_derivatives(cells, targets, unit, a, b, columns):
    """Gradient (2, k) and Hessian (3, k), aa, ab and bb, of the cross-entropy of some columns at
    their a and b, (k,).

    targets (2, q) is the part of the gradient that the labels make, which does not depend on a and
    b: sum_i v_i t_iu (x_iu, 1).
    """
    (sums,) = cells.sum(partial(slope_sums, a=unit * a, b=b, columns=columns))
    p, pz, pq, pqz, pqzz = sums
    gradient = np.stack([unit * pz, p]) - targets[:, columns]
    return gradient, np.stack([unit**2 * pqzz, unit * pqz, pq])


def base_log_odds(mass, total):
    """b0 of each column, from `target_sums` over all rows."""
    return np.log(mass / (total - mass))


def minimiser(derivatives, b0, start=None):
    """(a, b) by Newton steps in all columns at once, halved in those that they take too far: (2, q).

    Columns that have converged take no part in later passes. A step is taken if the slope along it
    has not turned into half of what it was uphill; the function is convex, so its value is not
    needed.
    """
    prior = np.stack([np.ones_like(b0), b0])
    theta, step = (prior if start is None else start).copy(), np.zeros_like(prior)
    before = np.full(len(b0), np.inf)  # decrease along the last step that was taken
    left = np.arange(len(b0))
    for _ in range(MAX_ITER):
        trial = theta[:, left] + step[:, left]
        gradient, hessian = derivatives(*trial, left)
        gradient = gradient + trial - prior[:, left]
        newton, decrement = _newton_steps(gradient, hessian + PRIOR_CURVATURE)
        better = np.sum(gradient * step[:, left], axis=0) <= HALVED * before[left]
        theta[:, left] = np.where(better, trial, theta[:, left])
        step[:, left] = np.where(better, newton, 0.5 * step[:, left])
        before[left] = np.where(better, decrement, 0.5 * before[left])
        left = left[~(better & (decrement <= DECREMENT_TOLERANCE))]
        if not len(left):
            break
    step[:, left] = 0.0
    return theta + step


def _newton_steps(gradient, hessian):
    """Newton step (2, q), and the decrease that each column's quadratic model predicts twice:
    (q,).
    """
    aa, ab, bb = hessian
    step = -np.stack([bb * gradient[0] - ab * gradient[1], aa * gradient[1] - ab * gradient[0]]) / (
        aa * bb - ab**2
    )
    return step, -np.sum(step * gradient, axis=0)


# Steps on the rows of one partition.


def target_sums(cells, classes):
    """Weight of each column's class; of it in observed cells; there, sum of v Z; weight and number of
    the rows.
    """
    Z, observed, y, v = cells
    K, columns = classes.max() + 1, np.arange(len(classes))
    mass = np.bincount(y, v, minlength=K)[classes]
    seen, products = np.zeros((2, K, len(classes)))
    for rows in blocks(len(Z)):
        weight = (v[rows] * (y[rows] == np.arange(K)[:, None])).astype(float)
        if observed is None:
            products += weight @ Z[rows]
        else:
            seen += weight @ observed[rows]
            products += weight @ (Z[rows] * observed[rows])
    seen = mass if observed is None else seen[classes, columns]
    return mass, seen, products[classes, columns], v.sum(), len(v)


def every(cells, step):
    """Every step-th row."""
    Z, observed, y, v = cells
    observed = np.ones(Z[::step].shape, dtype=bool) if observed is None else observed[::step]
    return Z[::step], observed, y[::step], v[::step]


def joined(parts):
    """Cells of several partitions as those of one."""
    Z, observed, y, v = map(np.concatenate, zip(*parts, strict=True))
    return Z, None if observed.all() else observed, y, v


def slope_sums(cells, a, b, columns):
    """`sigmoid_sums` of some columns of one partition."""
    Z, observed, _, v = cells
    if len(columns) < Z.shape[1]:
        Z, observed = Z[:, columns], None if observed is None else observed[:, columns]
    return (sigmoid_sums(a, b, Z, observed, v),)


def sigmoid_sums(a, b, Z, observed, v):
    """What Newton steps are made of: over the observed cells of each column, with p_iu = sigmoid(a_u
    z_iu + b_u) and q = 1 - p, sums of v_i times p, p z, p q, p q z and p q z^2. Shape (5, q).
    """
    if is_compiled(len(Z)):
        return column_sums(a, b, Z, observed, v)
    sums = np.zeros((5, len(a)))
    # New arrays in each block would cost more than what is done in them.
    room = np.empty((4, min(BLOCK_ROWS, len(Z)), len(a)))
    for rows in blocks(len(Z)):
        u, p, curvature, spare = room[:, : rows.stop - rows.start]
        z, v_b = Z[rows], v[rows]
        np.multiply(a, z, out=u)
        u += b
        tail = np.exp(np.negative(np.abs(u, out=p), out=p), out=p)
        larger = np.reciprocal(np.add(tail, 1.0, out=spare), out=spare)
        p *= larger
        np.multiply(p, larger, out=curvature)
        larger -= 0.5
        np.copysign(larger, u, out=p)  # several times faster than a choice by mask
        p += 0.5
        if observed is not None:
            p *= observed[rows]
            curvature *= observed[rows]
        sums[0] += v_b @ p
        sums[1] += v_b @ np.multiply(p, z, out=spare)
        sums[2] += v_b @ curvature
        curvature *= z
        sums[3] += v_b @ curvature
        curvature *= z
        sums[4] += v_b @ curvature
    return sums
