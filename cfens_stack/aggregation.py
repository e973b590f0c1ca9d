"""The aggregator: from reconstructed predictions to one probability, equations (2) and (7) of the design.

======  =======  =====================================================================================
symbol  shape    meaning
======  =======  =====================================================================================
Y       (n, d)   instance factors of the labelled rows
M       (m, d)   s X: link-scale reconstructions are mu + Y M'
y       (n,)     0 or 1
s       (n,)     class weight times sample weight, >= 0
w, b    (m,)     weights of the models, intercept: score = w . (Y M') + b, the mean part w . mu being left to b
gamma            focal exponent, >= 0
======  =======  =====================================================================================

The n x m matrix of reconstructions is never formed: scores are Y (M'w) + b and the gradient in w is M (Y'g).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

AGGREGATORS = ("weighted", "mean")


MAX_ITER = 1000
GRADIENT_TOLERANCE = 1e-9


@dataclass(frozen=True)
class AggregatorFit:
    """Minimiser of (2), the values on the way there, and whether the gradient vanished."""

    w: np.ndarray
    b: float
    history: list
    converged: bool


def average_weights(m, link):
    """(w0, b0) of the plain average of m models: the point to which the aggregator is shrunk.

    With the logit link sigmoid(w0 . r_hat) is the average on the log-odds scale. With the identity link the
    tangent of the log-odds at 1/2, 4 (r - 1/2), ranks rows exactly as their average does.
    """
    slope, offset = (1.0, 0.0) if link == "logit" else (4.0, -2.0)
    return np.full(m, slope / m), offset


def focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE of each row, and its derivative in the score, with p = sigmoid(score).

    Parameters
    ----------
    scores : ndarray of shape (n,)
    y : ndarray of shape (n,), 0 or 1
    gamma : float, >= 0

    Returns
    -------
    loss, slope : ndarrays of shape (n,)
    """
    sign = 2.0 * y - 1.0
    u = sign * scores
    log_p, q = log_expit(u), expit(-u)  # log p_t and 1 - p_t, both exact in the tails
    modulation = q**gamma
    # d/du of -(1 - p)^gamma log p, by dp/du = p (1 - p): the modulating factor has a derivative too (mistake 5)
    return -modulation * log_p, sign * modulation * (gamma * (1.0 - q) * log_p - q)


def supervision(theta, Y, M, y, s, gamma, w0, strength):
    """Objective (2) and its gradient at theta = (w, b).

    Parameters
    ----------
    strength : float
        aggregator_reg / n_labelled.

    Returns
    -------
    value : float
    gradient : ndarray of shape (m + 1,)
    """
    w, b = theta[:-1], theta[-1]
    loss, slope = focal_loss(Y @ (M.T @ w) + b, y, gamma)
    g = s * slope / s.sum()
    value = s @ loss / s.sum() + 0.5 * strength * np.sum((w - w0) ** 2)
    return value, np.append(M @ (Y.T @ g) + strength * (w - w0), g.sum())


def fit_aggregator(Y, M, y, s, *, gamma, w0, b0, strength, nonnegative):
    """Minimise (2) by L-BFGS-B to convergence, from the plain average; with w >= 0 if `nonnegative`.

    Returns
    -------
    AggregatorFit
    """
    history = []
    result = minimize(
        supervision,
        np.append(w0, b0),
        args=(Y, M, y, s, gamma, w0, strength),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * len(w0) + [(None, None)] if nonnegative else None,
        callback=lambda intermediate_result: history.append(intermediate_result.fun),
        options={"maxiter": MAX_ITER, "maxfun": 2 * MAX_ITER, "gtol": GRADIENT_TOLERANCE, "ftol": 0.0, "maxcor": 20},
    )
    w, b = result.x[:-1], float(result.x[-1])
    # The optimiser also ends when rounding stops its line search: judge by the gradient of the free coordinates.
    free = np.append((w > 0) | (result.jac[:-1] < 0), True) if nonnegative else slice(None)
    return AggregatorFit(w, b, history, bool(np.abs(result.jac[free]).max() <= 1e3 * GRADIENT_TOLERANCE))


def class_weights(y, v, n_classes=2):
    """Balanced weights n / (K n_class) from rows weighted by v; mean weight 1 over the rows. Shape (K,)."""
    mass = np.bincount(y, weights=v, minlength=n_classes)
    return v.sum() / (n_classes * mass)


def natural_posterior(P, weights, gamma):
    """Undo the tilt of class weights and of the focal loss: equation (7).

    The minimiser of the weighted focal risk is a strictly increasing image of the class posterior of the reweighted
    population, inverted in closed form (Charoenphakdee et al. 2021, theorem 11); dividing by the class weights
    then moves it back to the training prevalence (Elkan 2001, theorem 2).

    Parameters
    ----------
    P : ndarray of shape (n, K)
        Probabilities as trained; rows sum to 1.
    weights : ndarray of shape (K,)
    gamma : float

    Returns
    -------
    P : ndarray of shape (n, K)
    """
    if gamma > 0:
        P = _invert_focal(P, gamma)
    if np.ptp(weights) > 0:
        P = P / weights
        P = P / P.sum(axis=1, keepdims=True)
    return P


def _invert_focal(P, gamma):
    """eta_k proportional to p_k / ((1 - p_k)^gamma - gamma (1 - p_k)^(gamma - 1) p_k log p_k)."""
    p = np.clip(P, 1e-300, 1.0)
    q = np.clip(P @ (1.0 - np.eye(P.shape[1])), 1e-300, 1.0)  # the sum of the others: 1 - p without cancellation
    log_phi = (gamma - 1.0) * np.log(q) + np.log(q - gamma * p * np.log(p))
    log_eta = np.log(p) - log_phi
    eta = np.exp(log_eta - log_eta.max(axis=1, keepdims=True))
    return eta / eta.sum(axis=1, keepdims=True)
