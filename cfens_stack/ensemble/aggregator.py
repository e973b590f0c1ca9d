"""The aggregator: from reconstructed predictions to one probability a class, equation (2) of the
design.

======  ============  ==========================================================================================
symbol  shape         meaning
======  ============  ==========================================================================================
Y       (n, d)        instance factors of the labelled rows
M       (p, d)        loadings: row j times y_i is the centred link-scale reconstruction that weight
w_j multiplies t       (p,)          the score that weight w_j feeds S                     number of
scores: 1 with the sigmoid (two classes), K with the softmax y       (n,)          class codes
0..K-1 s       (n,)          class weight times sample weight, >= 0 theta   (p + S,)      (w, b),
weights and intercepts; w0 is the w of the average of the calibrated models gamma
focal exponent, >= 0
======  ============  ==========================================================================================

Score k of row i is the sum of w_j M_j . y_i over the weights with t_j = k, plus b_k: each column
votes for its own class. With an intercept column in Y and rows for b in M, that is Y V with V (d +
1, S), so the n x m matrix of reconstructions is never formed.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit, log_expit, log_softmax

from cfens_stack.kernels.blocks import blocks

AGGREGATORS = ("weighted", "mean")
# Of aggregator_reg="auto", strongest first. Real sets use both ends. Weaker ones gain nothing
# there, and where few labels are separable the likelihood, and with it the evidence, would follow
# the weights to infinity.
STRENGTHS = 10.0 ** np.arange(4.0, 0.0, -0.5)
MAX_ITER = 200
DECREMENT_TOLERANCE = 1e-16  # of the objective, as predicted by the Newton model
MODEL_TOLERANCE = 1e-11  # below it the Newton model errs by less than DECREMENT_TOLERANCE
ROUNDING = (
    1e-14  # of the objective: a line search that asks for less would halve its steps to nothing
)
NEAR_BOUND = 1e-4
TINY = 1e-300


@dataclass(frozen=True)
class AggregatorFit:
    """Minimiser of (2), the strength used, the values on the way there, and whether the gradient
    vanished.
    """

    w: np.ndarray
    b: np.ndarray
    aggregator_reg: float
    history: list
    converged: bool


def average_slope(n_outputs, link):
    """Change of the score of the plain average for a unit change of all link-scale predictions of a
    class.

    With the logit link the plain average is that of the log-odds. With the identity link the
    tangent of the log-odds at equal probabilities ranks rows exactly as the average of the
    probabilities does.
    """
    if link == "logit":
        return 1.0
    return 4.0 if n_outputs == 1 else float(n_outputs)


def log_odds_slope(n_outputs, link):
    """Change of the log-odds of a class, against all others, for a unit change of its link-scale
    prediction.
    """
    return average_slope(n_outputs, link) * (
        1.0 if n_outputs == 1 else n_outputs / (n_outputs - 1.0)
    )


def even_weights(slopes, n_outputs):
    """Equal weights of the columns that vote for the same class, 0 for those of slope 0: ndarray of
    shape (q,).
    """
    useful = (slopes > 0).reshape(-1, n_outputs)
    return (useful / np.maximum(useful.sum(axis=0), 1)).ravel()


def average_offset(n_outputs, link):
    """Score of the plain average where all link-scale predictions are 0."""
    return -2.0 if n_outputs == 1 and link == "identity" else 0.0


def column_weights(coef):
    """One weight a column of `coef_`, for pictures and tables: with several classes the one of
    largest size. (m,).
    """
    W = np.atleast_2d(coef)
    return W[np.abs(W).argmax(axis=0), np.arange(W.shape[1])]


def sigmoid_focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE with p = sigmoid(score), and its first two derivatives in the score.

    Parameters
    ----------
    scores : ndarray of shape (n, 1)
    y : ndarray of shape (n,), 0 or 1
    gamma : float, >= 0

    Returns
    -------
    loss : ndarray of shape (n,)
    slope : ndarray of shape (n, 1)
    curvature : ndarray of shape (n, 1, 1)
        Negative for badly misclassified rows if gamma > 0.
    """
    sign = 2.0 * y - 1.0
    u = sign * scores[:, 0]
    if gamma == 0:
        e = np.exp(-np.abs(u))  # one exponential for p, q and log p, exact in the tails
        larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
        slope = -sign * np.where(u > 0, smaller, larger)
        return np.log1p(e) - np.minimum(u, 0.0), slope[:, None], (larger * smaller)[:, None, None]
    log_p, p, q = log_expit(u), expit(u), expit(-u)  # p = p_t, q = 1 - p_t, all exact in the tails
    modulation = q**gamma
    # d/du of -q^gamma log p, by p' = p q and q' = -p q: the modulating factor has a derivative too
    # (mistake 5)
    slope = sign * modulation * (gamma * p * log_p - q)
    curvature = modulation * p * (q * (1.0 + 2.0 * gamma) + gamma * log_p * (q - gamma * p))
    return -modulation * log_p, slope[:, None], curvature[:, None, None]


def softmax_focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE with p = softmax(scores), and its first two derivatives in the scores.

    With a the derivative in log p_t and e = onehot(y) - p, the slope is a e and the curvature
    -a (diag(p) - p p') + p_t (da / dp_t) e e'.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
    y : ndarray of shape (n,), 0..K-1
    gamma : float, >= 0

    Returns
    -------
    loss : ndarray of shape (n,)
    slope : ndarray of shape (n, K)
    curvature : ndarray of shape (n, K, K)
    """
    n, K = scores.shape
    log_P = log_softmax(scores, axis=1)
    P = np.exp(log_P)
    onehot = np.eye(K)[y]
    log_p, p = log_P[np.arange(n), y], P[np.arange(n), y]
    q = np.maximum(np.sum(P * (1.0 - onehot), axis=1), TINY)  # 1 - p_t without cancellation
    modulation = q**gamma
    a = gamma * p * (log_p / q) * modulation - modulation
    e = onehot * q[:, None] - P * (1.0 - onehot)
    curvature = P[:, :, None] * (np.eye(K) - P[:, None, :]) * -a[:, None, None]
    if gamma > 0:
        slope_of_a = gamma * p * modulation * (log_p / q * (q - (gamma - 1.0) * p) + 2.0) / q
        curvature += slope_of_a[:, None, None] * e[:, :, None] * e[:, None, :]
    return -modulation * log_p, a[:, None] * e, curvature


def supervision(theta, Y, M, t, y, s, gamma, w0, strength):
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

    Returns
    -------
    value : float
    gradient : ndarray of shape (p + S,)
    hessian : ndarray of shape (p + S, p + S)
    """
    loss = mean_loss(theta, partial(loss_sums, Y=Y, y=y, s=s, gamma=gamma), M, t)
    return _add_penalty(loss, theta, w0, strength)


def minimise(theta, sums, M, t, *, w0, strength, nonnegative, loss=None):
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
    lower = np.full(len(theta), -np.inf)
    lower[: len(w0)] = 0.0 if nonnegative else -np.inf

    def evaluate(theta, loss=None):
        loss = mean_loss(theta, sums, M, t) if loss is None else loss
        return loss, *_add_penalty(loss, theta, w0, strength)

    loss, value, gradient, hessian = evaluate(theta, loss)
    history = [value]
    for _ in range(MAX_ITER):
        # A weight at its bound, or nearly, that the gradient presses against it goes there and
        # leaves the Newton system.
        near = min(NEAR_BOUND, np.abs(theta - np.maximum(theta - gradient, lower)).max())
        pinned = (theta <= lower + near) & (gradient > 0)
        step = np.where(pinned, lower - theta, 0.0) if nonnegative else np.zeros_like(theta)
        free = ~pinned
        step[free] = _newton_step(gradient[free], hessian[np.ix_(free, free)])
        decrement = -gradient @ step
        if decrement <= DECREMENT_TOLERANCE * max(1.0, abs(value)):
            return theta, hessian, history, True, loss
        if decrement <= MODEL_TOLERANCE * max(1.0, abs(value)) and np.all(theta + step >= lower):
            return (
                theta + step,
                hessian,
                [*history, value - 0.5 * decrement],
                True,
                _modelled(loss, step),
            )
        length = 1.0
        while length > 1e-10:
            trial = np.maximum(theta + length * step, lower)
            evaluated = evaluate(trial)
            if evaluated[1] <= value + 1e-4 * gradient @ (trial - theta) + ROUNDING * max(
                1.0, abs(value)
            ):
                break
            length /= 2.0
        else:  # rounding ends the search
            return theta, hessian, history, bool(decrement <= 1e-9 * max(1.0, abs(value))), loss
        theta, (loss, value, gradient, hessian) = trial, evaluated
        history.append(value)
    return theta, hessian, history, False, loss


def _modelled(loss, step):
    """The mean loss after a step, with its gradient and Hessian, by the Newton model: saves a pass
    over the rows.
    """
    value, gradient, hessian = loss
    return value + gradient @ step + 0.5 * step @ hessian @ step, gradient + hessian @ step, hessian


def loss_sums(V, Y, y, s, gamma):
    """What the rows contribute to the first term of (2); over partitions of the rows, contributions
    add up.

    Parameters
    ----------
    V : ndarray of shape (d + 1, S)
    Y : ndarray of shape (n, d + 1)

    Returns
    -------
    value : float
    slopes : ndarray of shape (d + 1, S)
        Gradient in V.
    curvatures : ndarray of shape (S, S, d + 1, d + 1)
        Hessian in V; blocks [k, l] with k > l are left zero.
    mass : float
        Sum of s.
    """
    size, S = V.shape
    focal_loss = sigmoid_focal_loss if S == 1 else softmax_focal_loss
    value, slopes, curvatures = 0.0, np.zeros((size, S)), np.zeros((S, S, size, size))
    for rows in blocks(len(Y)):
        Y_b, s_b = Y[rows], s[rows]
        loss, slope, curvature = focal_loss(Y_b @ V, y[rows], gamma)
        value += s_b @ loss
        slopes += Y_b.T @ (s_b[:, None] * slope)
        for k in range(S):
            for l in range(k, S):
                curvatures[k, l] += Y_b.T @ (Y_b * (s_b * curvature[:, k, l])[:, None])
    return value, slopes, curvatures, s.sum()


def mean_loss(theta, sums, M, t):
    """The first term of (2) with its gradient and Hessian in theta: one pass over the rows."""
    S = t[-1] + 1
    V = np.zeros((M.shape[1], S))
    np.add.at(V.T, t, theta[:, None] * M)
    value, slopes, curvatures, mass = sums(V)
    slopes, curvatures = slopes / mass, curvatures / mass
    hessian = np.zeros((len(theta), len(theta)))
    for k in range(S):
        for l in range(k, S):
            block = M[t == k] @ curvatures[k, l] @ M[t == l].T
            hessian[np.ix_(t == k, t == l)] = block
            hessian[np.ix_(t == l, t == k)] = block.T
    return value / mass, np.einsum("jd,jd->j", M, slopes.T[t]), hessian


def _add_penalty(loss, theta, w0, strength):
    """Value, gradient and Hessian of (2) from those of its first term."""
    value, gradient, hessian = loss
    p, S = len(w0), len(theta) - len(w0)
    # The penalty is the mean over the scores, so that two classes cost the same in either form.
    deviation, strength = theta[:p] - w0, strength / S
    value = value + 0.5 * strength * deviation @ deviation
    gradient, hessian = gradient.copy(), hessian.copy()
    gradient[:p] += strength * deviation
    hessian[np.arange(p), np.arange(p)] += strength
    if S > 1:  # a constant added to all intercepts changes nothing: keep the steps from using it
        hessian[p:, p:] += 1.0 / S
    return value, gradient, hessian


def fit_aggregator(Y, M, t, y, s, *, gamma, w0, b0, aggregator_reg, nonnegative, v):
    """(w, b) at a given strength, or averaged over strengths by their evidence for
    aggregator_reg="auto".

    The evidence is that of the plain log likelihood, whatever class weights and gamma are: only a
    likelihood has one.

    Parameters
    ----------
    Y : ndarray of shape (n, d)
    M : ndarray of shape (p, d)
    t, y, s, w0
        See the head of this file.
    b0 : ndarray of shape (S,)
        Intercepts to start from.
    aggregator_reg : float or "auto"
    nonnegative : bool
    v : ndarray of shape (n,)
        Sample weights, which count as copies of a row.

    Returns
    -------
    AggregatorFit
    """
    Y = np.column_stack([Y, np.ones(len(Y))])
    likelihood = partial(loss_sums, Y=Y, y=y, s=v, gamma=0.0)
    tilted = partial(loss_sums, Y=Y, y=y, s=s, gamma=gamma)
    options = {
        "w0": w0,
        "b0": b0,
        "aggregator_reg": aggregator_reg,
        "nonnegative": nonnegative,
        "n": v.sum(),
    }
    same = gamma == 0 and np.array_equal(s, v)
    return fit_from_sums(likelihood, likelihood if same else tilted, M, t, **options)


def fit_from_sums(likelihood, tilted, M, t, *, w0, b0, aggregator_reg, nonnegative, n):
    """`fit_aggregator`, with the rows seen only through `loss_sums`: those of the likelihood, and
    those of (2).

    Parameters
    ----------
    likelihood, tilted : callable
        V (d + 1, S) -> `loss_sums` over all labelled rows; the same object if class weights and
        gamma change nothing.
    n : float
        Sum of the sample weights of the labelled rows.
    """
    S, p = len(b0), len(w0)
    M = np.vstack([np.column_stack([M, np.zeros(p)]), np.tile(np.eye(M.shape[1] + 1)[-1], (S, 1))])
    t = np.append(t, np.arange(S))
    start = np.append(w0, b0)

    def solve(theta, strength, sums, loss=None):
        return minimise(
            theta, sums, M, t, w0=w0, strength=strength / n, nonnegative=nonnegative, loss=loss
        )

    if aggregator_reg != "auto":
        theta, _, history, converged, _ = solve(start, aggregator_reg, tilted)
        return AggregatorFit(theta[:p], theta[p:], float(aggregator_reg), history, converged)

    fits: list[tuple] = []
    costs = []
    for strength in STRENGTHS:
        theta, loss = (fits[-1][0], fits[-1][-1]) if fits else (start, None)
        fits.append(solve(theta, strength, likelihood, loss))
        theta, hessian, history, *_ = fits[-1]
        costs.append(
            _evidence_cost(theta, n * hessian, n * history[-1], p, strength / S, nonnegative)
        )
    minimised = tilted is likelihood
    belief = np.exp(min(costs) - np.array(costs))
    belief /= belief.sum()
    theta, history, converged = np.zeros(len(start)), [], True
    for share, fit, strength in zip(belief, fits, STRENGTHS, strict=True):
        if share > 1e-9:
            fitted, _, steps, done, _ = fit if minimised else solve(fit[0], strength, tilted)
            theta += share * fitted
            history, converged = history + (steps[-1:] if minimised else steps), converged and done
    return AggregatorFit(
        theta[:p], theta[p:], float(np.exp(belief @ np.log(STRENGTHS))), history, converged
    )


def _evidence_cost(theta, hessian, posterior_cost, p, precision, nonnegative):
    """-log Laplace evidence of a strength (MacKay 1992), up to a constant.

    The penalty is a normal prior on w about w0, with precision strength / S. With H the Hessian of
    the negative log posterior over the coordinates that the constraint leaves free, it is

        -log posterior(theta) + log det(H) / 2 - n_free log(precision) / 2.
    """
    free = np.ones(len(theta), dtype=bool)
    free[:p] = theta[:p] > 0 if nonnegative else True
    log_det = np.linalg.slogdet(hessian[np.ix_(free, free)])[1]
    return posterior_cost + 0.5 * (log_det - free[:p].sum() * np.log(precision))


def _newton_step(gradient, hessian):
    """Newton step; where the focal loss makes (2) concave, with the concave directions turned
    round.
    """
    try:
        return -cho_solve(cho_factor(hessian), gradient)
    except LinAlgError:
        values, vectors = np.linalg.eigh(hessian)
        values = np.maximum(np.abs(values), 1e-10 * np.abs(values).max() + TINY)
        return -vectors @ ((vectors.T @ gradient) / values)
