"""Calibration slope of each column: the factor that its link-scale predictions need, alone, to predict its class.

======  ======  ============================================================================================
symbol  shape   meaning
======  ======  ============================================================================================
x       (n, q)  centred predictions in the unit of log-odds; any finite number where not observed
a, b    (q,)    slope and intercept of each column's own logistic regression, P(class of the column) = sigmoid(a x + b)
======  ======  ============================================================================================

Column u minimises, over its observed labelled cells, sum_i v_i CE_iu + (a_u - 1)^2 / 2 + (b_u - b0_u)^2 / 2: calibrated
as they stand (a = 1) at the prevalence (b0) is what models are taken for until the labels say otherwise (Platt 1999,
with a prior in place of his smoothed targets).
"""

import numpy as np

from cfens_stack.least_squares import blocks

MAX_ITER = 100
DECREMENT_TOLERANCE = 1e-8  # nats: Newton's last step goes far below it
ROUNDING = 1e-12


def calibration_slopes(Z, observed, targets, v, unit):
    """Slopes of all columns, from the labelled rows.

    Parameters
    ----------
    Z : ndarray of shape (n, q)
        Centred predictions.
    observed : ndarray of bool, shape (n, q)
    targets : ndarray of bool, shape (n, q)
        Whether the row is of the column's class.
    v : ndarray of shape (n,)
    unit : float
        Log-odds for a unit of Z, for a calibrated model.

    Returns
    -------
    a : ndarray of shape (q,), >= 0
        0 for a column that predicts the opposite of its class: on its own it is of no use.
    """

    def sums(a, b):
        return logistic_sums(a, b, Z, observed, targets, v, unit)

    return slopes_from_sums(sums, base_log_odds(*target_sums(targets, v)))


def target_sums(targets, v):
    """Weight of each column's class, and of all rows: ndarray of shape (q,), float."""
    return v @ targets, v.sum()


def base_log_odds(mass, total):
    """b0 of each column, from `target_sums` over all rows."""
    return np.log(mass / (total - mass))


def logistic_sums(a, b, Z, observed, targets, v, unit):
    """Cross-entropy of each column at (a, b), its gradient (2, q) and Hessian (3, q), aa, ab and bb: sums over rows."""
    loss, gradient, hessian = np.zeros(len(a)), np.zeros((2, len(a))), np.zeros((3, len(a)))
    for rows in blocks(len(Z)):
        x = unit * Z[rows]
        weight = v[rows, None] * observed[rows]
        u = a * x + b
        tail = np.exp(-np.abs(u))
        p = np.where(u >= 0, 1.0, tail) / (1.0 + tail)
        loss += np.einsum("iu,iu->u", weight, np.log1p(tail) + np.maximum(u, 0.0) - targets[rows] * u)
        slope, curvature = weight * (p - targets[rows]), weight * (p * (1.0 - p))
        gradient += np.einsum("iu,iu->u", slope, x), slope.sum(axis=0)
        tilted = curvature * x
        hessian += np.einsum("iu,iu->u", tilted, x), tilted.sum(axis=0), curvature.sum(axis=0)
    return loss, gradient, hessian


def slopes_from_sums(sums, b0):
    """Newton steps in all columns at once, halved in those where the objective rises.

    Parameters
    ----------
    sums : callable
        (a, b) -> `logistic_sums` over all labelled rows.
    b0 : ndarray of shape (q,)
    """
    prior = np.stack([np.ones_like(b0), b0])
    theta, step = prior, np.zeros_like(prior)
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
            theta = theta + step
            break
    return np.maximum(theta[0], 0.0)  # the problem is convex: where its minimiser is negative, the one over a >= 0 is 0


def _newton_steps(gradient, hessian):
    """Newton step (2, q), and the decrease that each column's quadratic model predicts twice: (q,)."""
    aa, ab, bb = hessian
    step = -np.stack([bb * gradient[0] - ab * gradient[1], aa * gradient[1] - ab * gradient[0]]) / (aa * bb - ab**2)
    return step, -np.sum(step * gradient, axis=0)
