"""Projected Newton steps for (2), the aggregator's part of the objective.

The rows are seen only through `losses.loss_sums`, so that they may be anywhere; symbols as in
`aggregator`, with Y, M and t extended by the intercepts.
"""

from functools import partial

import numpy as np
from scipy.linalg.lapack import dposv

from cfens_stack.ensemble.losses import TINY, loss_sums

MAX_ITER = 200
DECREMENT_TOLERANCE = 1e-16  # of the objective, as predicted by the Newton model
MODEL_TOLERANCE = 1e-11  # below it the Newton model errs by less than DECREMENT_TOLERANCE
# Of the objective: a line search that asks for less would halve its steps to nothing.
ROUNDING = 1e-14
NEAR_BOUND = 1e-4
LONGEST = 1.5  # times the step before: farther ahead a Hessian's change says nothing
# In intercepts, which are log-odds. Where probabilities are near 0 or 1 in all rows, a full step
# leads to where they are 1 or 0 in all rows, at a lower loss that no step leads away from.
LARGEST_STEP = 4.0


def supervision(theta, Y, M, t, y, s, gamma, w0, strength, copies=1.0, common=None):
    """Objective (2) with its gradient and Hessian in theta.

    Parameters
    ----------
    theta : ndarray of shape (p + S,)
    Y : ndarray of shape (n, d + 1)
        With a last column of ones.
    M : ndarray of shape (p + S, d + 1)
        With a last column of zeros, and for each intercept a row that picks the ones.
    t : ndarray of int, shape (p + S,)
    strength : float
        aggregator_reg / n_labelled.
    copies : float or ndarray of shape (p,), default=1.0
        Multiplies the strength of each weight.
    common : float, default=None
        Strength of the mean of each S weights, those of a model; None: the same.

    Returns
    -------
    value : float
    gradient : ndarray of shape (p + S,)
    hessian : ndarray of shape (p + S, p + S)
    """
    loss = mean_loss(theta, partial(loss_sums, Y=Y, y=y, s=s, gamma=gamma), M, t)
    return _add_penalty(loss, theta, w0, strength, copies, common)


def minimise(theta, sums, M, t, *, loss=None, **penalty):
    """Minimise (2) from theta by projected Newton steps (Bertsekas 1982), with w >= 0 if
    `nonnegative`.

    Parameters
    ----------
    theta : ndarray of shape (p + S,)
    sums : callable
        V (d + 1, S) -> `loss_sums` over all rows.
    loss : tuple, default=None
        What an earlier call with another strength and the same data returned as `loss` at this
        theta: saves a pass.
    **penalty
        As for `descend`: w0, strength, nonnegative, copies, common.

    Returns
    -------
    theta : ndarray of shape (p + S,)
    hessian : ndarray of shape (p + S, p + S)
        At theta.
    history : list of float
        Objective (2) before each step.
    converged : bool
    loss : tuple
        The mean loss at theta, with its gradient and Hessian.
    """
    evaluate = partial(mean_loss, sums=sums, M=M, t=t)
    return descend(theta, evaluate, evaluate(theta) if loss is None else loss, **penalty)


def minimise_model(theta, loss, other=None, **options):
    """`minimise` without a pass: of the quadratic that has this loss, gradient and Hessian at
    theta.

    Parameters
    ----------
    other : tuple, default=None
        A theta and its `loss`, from another strength. Minimisers lie on a path, so the Hessian
        changes along the next step as it did between these two: half of the change enters the
        gradient, as at the middle of the step (the trapezoidal rule).
    """
    model = _minimise_quadratic(theta, loss, options)
    if other is None:
        return model
    value, gradient, hessian = loss
    step, last, change = model[0] - theta, theta - other[0], hessian - other[1][2]
    length = last @ hessian @ last
    share = np.clip(step @ hessian @ last / length, 0.0, LONGEST) if length > 0 else 0.0
    return _minimise_quadratic(theta, (value, gradient, hessian + 0.5 * share * change), options)


def _minimise_quadratic(theta, loss, options):
    return descend(theta, lambda trial: _modelled(loss, trial - theta), loss, **options)


def descend(theta, evaluate, loss, *, w0, strength, nonnegative, copies=1.0, common=None):
    """`minimise` of any loss, with evaluate(theta) -> (value, gradient, Hessian), at the start
    `loss`; penalty as for `supervision`.
    """
    lower = np.full(len(theta), -np.inf)
    lower[: len(w0)] = 0.0 if nonnegative else -np.inf
    penalised = partial(_add_penalty, w0=w0, strength=strength, copies=copies, common=common)
    value, gradient, hessian = penalised(loss, theta)
    history = [value]
    for _ in range(MAX_ITER):
        size = max(1.0, abs(value))
        step = _projected_step(theta, gradient, hessian, lower)
        decrement = -gradient @ step
        if decrement <= DECREMENT_TOLERANCE * size:
            return theta, hessian, history, True, loss
        if decrement <= MODEL_TOLERANCE * size and np.all(theta + step >= lower):
            history.append(value - 0.5 * decrement)
            return theta + step, hessian, history, True, _modelled(loss, step)
        length = min(1.0, LARGEST_STEP / max(np.abs(step[len(w0) :]).max(), TINY))
        while length > 1e-10:
            trial = np.maximum(theta + length * step, lower)
            trial_loss = evaluate(trial)
            evaluated = penalised(trial_loss, trial)
            # Armijo's rule along the projected path.
            if evaluated[0] <= value + 1e-4 * gradient @ (trial - theta) + ROUNDING * size:
                break
            length /= 2.0
        else:  # rounding ends the search
            return theta, hessian, history, bool(decrement <= 1e-9 * size), loss
        theta, loss, (value, gradient, hessian) = trial, trial_loss, evaluated
        history.append(value)
    return theta, hessian, history, False, loss


def _projected_step(theta, gradient, hessian, lower):
    """Newton step among the free weights; those at their bound stay there.

    The active set of Bertsekas (1982): a weight at its bound, or within a margin that shrinks with
    the distance to a stationary point, which the gradient presses against it, goes there and leaves
    the Newton system. Without the margin, weights could zigzag about the bound.
    """
    near = min(NEAR_BOUND, np.abs(theta - np.maximum(theta - gradient, lower)).max())
    pinned = (theta <= lower + near) & (gradient > 0)
    if not pinned.any():
        return _newton_step(gradient, hessian)
    step, free = np.where(pinned, lower - theta, 0.0), ~pinned
    step[free] = _newton_step(gradient[free], hessian[np.ix_(free, free)])
    return step


def _modelled(loss, step):
    """The mean loss after a step, with its gradient and Hessian, by the Newton model: saves a pass
    over the rows.
    """
    value, gradient, hessian = loss
    slope = hessian @ step
    return value + (gradient + 0.5 * slope) @ step, gradient + slope, hessian


def scores_matrix(theta, M, t):
    """V (d + 1, S): scores are Y V."""
    if t[-1] == 0:
        return (theta @ M)[:, None]
    return np.stack([theta[t == k] @ M[t == k] for k in range(t[-1] + 1)], axis=1)


def mean_loss(theta, sums, M, t):
    """The first term of (2) with its gradient and Hessian in theta: one pass over the rows."""
    S = t[-1] + 1
    value, slopes, curvatures, mass = sums(scores_matrix(theta, M, t))
    slopes, curvatures = slopes / mass, curvatures / mass
    if S == 1:
        return value / mass, M @ slopes[:, 0], M @ curvatures[0, 0] @ M.T
    hessian = np.zeros((len(theta), len(theta)))
    for k in range(S):
        for l in range(k, S):
            block = M[t == k] @ curvatures[k, l] @ M[t == l].T
            hessian[np.ix_(t == k, t == l)] = block
            hessian[np.ix_(t == l, t == k)] = block.T
    return value / mass, np.einsum("jd,jd->j", M, slopes.T[t]), hessian


def _add_penalty(loss, theta, w0, strength, copies, common):
    """Value, gradient and Hessian of (2) from those of its first term."""
    value, gradient, hessian = loss
    p, S = len(w0), len(theta) - len(w0)
    # The penalty is the mean over the scores, so that two classes cost the same in either form.
    deviation, precision = theta[:p] - w0, strength / S * copies
    value = value + 0.5 * np.sum(precision * deviation**2)
    gradient, hessian = gradient.copy(), hessian.copy()
    gradient[:p] += precision * deviation
    hessian[np.arange(p), np.arange(p)] += precision
    if common is not None:
        cost, slope, blocks = common_penalty(deviation, S, strength, common, copies)
        value, gradient[:p] = value + cost, gradient[:p] + slope
        hessian[:p, :p] += np.kron(np.diag(blocks), np.ones((S, S)))
    if S > 1:  # a constant added to all intercepts changes nothing: keep the steps from using it
        hessian[p:, p:] += 1.0 / S
    return value, gradient, hessian


def common_penalty(deviation, S, strength, common, copies=1.0):
    """What the penalty is larger by if the mean of the S weights of a model has the strength
    `common` instead of `strength`.

    Returns
    -------
    value : float
    gradient : ndarray of shape (p,)
    blocks : ndarray of shape (p / S,)
        The Hessian has this number in all cells of each model's block.
    """
    totals = deviation.reshape(-1, S).sum(axis=1)
    blocks = (common - strength) / S**2 * np.broadcast_to(copies, len(deviation))[::S]
    return 0.5 * np.sum(blocks * totals**2), np.repeat(blocks * totals, S), blocks


def _newton_step(gradient, hessian):
    """Newton step; where the focal loss makes (2) concave, with the concave directions turned
    round.
    """
    _, step, failed = dposv(hessian, -gradient)
    if not failed:
        return step
    values, vectors = np.linalg.eigh(hessian)
    values = np.maximum(np.abs(values), 1e-10 * np.abs(values).max() + TINY)
    return -vectors @ ((vectors.T @ gradient) / values)
