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

from cfens_stack.ensemble.losses import loss_sums
from cfens_stack.ensemble.newton import mean_loss, minimise, scores_matrix

AGGREGATORS = ("weighted", "mean")
# Of aggregator_reg="auto", strongest first. Real sets use both ends. Weaker ones gain nothing
# there, and where few labels are separable the likelihood, and with it the evidence, would follow
# the weights to infinity.
STRENGTHS = 10.0 ** np.arange(4.0, 0.0, -0.5)
# Correlation of two reconstructions within the classes. Good models of an easy set correlate above
# .999 over all rows, because the classes lie far apart, and three linear models do within them: they
# are worth counting. Reconstruction takes the noise off copies, so few copies fall below.
COPIES_ABOVE = 0.9999
CONSTANT_BELOW = 1e-12  # of the largest variance: rounding correlates with itself


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


def fit_from_sums(
    likelihood, tilted, M, t, *, w0, b0, aggregator_reg, nonnegative, n, undamped=None
):
    """`fit_aggregator`, with the rows seen only through `loss_sums`: those of the likelihood, and
    those of (2).

    Parameters
    ----------
    likelihood, tilted : callable
        V (d + 1, S) -> `loss_sums` over all labelled rows; the same object if class weights and
        gamma change nothing.
    n : float
        Sum of the sample weights of the labelled rows.
    undamped : callable, default=None
        The likelihood as if no cell were missing, in which copies are looked for; None: the same.
    """
    S, p = len(b0), len(w0)
    M, t = with_intercepts(M, t, S)
    copies = copies_of_columns(undamped or likelihood, M, t)
    w0 = shared_out(w0, copies, t[:p])
    start = np.append(w0, b0)

    def solve(theta, strength, sums, loss=None):
        penalty = {"w0": w0, "strength": strength / n, "copies": copies}
        return minimise(theta, sums, M, t, nonnegative=nonnegative, loss=loss, **penalty)

    if aggregator_reg != "auto":
        theta, _, history, converged, _ = solve(start, aggregator_reg, tilted)
        return AggregatorFit(theta[:p], theta[p:], float(aggregator_reg), history, converged)

    fits: list[tuple] = []
    costs = []
    for strength in STRENGTHS:
        theta, loss = (fits[-1][0], fits[-1][-1]) if fits else (start, None)
        fits.append(solve(theta, strength, likelihood, loss))
        theta, hessian, history, *_ = fits[-1]
        precision = strength / S * copies
        costs.append(_evidence_cost(theta, n * hessian, n * history[-1], precision, nonnegative))
    shares = np.exp(min(costs) - np.array(costs))
    used = np.flatnonzero(shares > 1e-9 * shares.sum())
    shares, fits = shares[used] / shares[used].sum(), [fits[k] for k in used]
    theta = shares @ [fit[0] for fit in fits]
    strengths = STRENGTHS[used]
    if tilted is not likelihood:
        plain = fit_intercepts(theta, likelihood, M, t)
        theta = fit_intercepts(theta, tilted, M, t)
        ratio = _curvature(theta, tilted, M, t) / _curvature(plain, likelihood, M, t)
        strengths = strengths * ratio
        starts = [np.append(fit[0][:p], theta[p:]) for fit in fits]
        fits = [solve(*pair, tilted) for pair in zip(starts, strengths, strict=True)]
        theta = shares @ [fit[0] for fit in fits]
    if len(used) > 1:
        theta = fit_intercepts(theta, tilted, M, t)
    history = [value for fit in fits for value in fit[2]]
    reg = float(np.exp(shares @ np.log(strengths)))
    return AggregatorFit(theta[:p], theta[p:], reg, history, all(fit[3] for fit in fits))


def intercepts_for(fit, sums, M, t):
    """Intercepts (S,) of a fit under other sums, its weights held fixed; M and t as for the fit."""
    M, t = with_intercepts(M, t, len(fit.b))
    return fit_intercepts(np.append(fit.w, fit.b), sums, M, t)[len(fit.w) :]


def with_intercepts(M, t, S):
    """M and t extended by the rows that pick the column of ones, for S intercepts."""
    M = np.vstack(
        [np.column_stack([M, np.zeros(len(M))]), np.tile(np.eye(M.shape[1] + 1)[-1], (S, 1))]
    )
    return M, np.append(t, np.arange(S))


def copies_of_columns(sums, M, t):
    """How many columns say what each one says, itself included: ndarray of shape (p,), float.

    Copies are models whose reconstructions correlate above `COPIES_ABOVE` within the classes of the
    labelled rows, and with several classes over the columns of all classes together. A copy adds no
    information: c copies as independent weights would draw the prior to what they say, with c times
    the variance. So they share the mean of one weight, and each has c times the precision: their
    sum then has the prior of a single weight, and the evidence is that of one copy too.

    Parameters
    ----------
    sums : callable
        V (d + 1, S) -> `loss_sums` with gamma = 0.
    M, t
        Extended by the intercepts.
    """
    S = t[-1] + 1
    moments, totals = moments_by_class(sums, M.shape[1], S)
    within = moments - sum(np.outer(total, total) / total[-1] for total in totals)
    loadings = M[:-S].reshape(-1, S, M.shape[1])
    covariance = np.einsum("usd,de,vse->uv", loadings, within, loadings, optimize=True)
    variance = np.diag(covariance)
    spread = np.sqrt(np.where(variance > CONSTANT_BELOW * variance.max(), variance, 0.0))
    same = covariance > COPIES_ABOVE * np.outer(spread, spread)
    same &= (spread > 0)[:, None] & (spread > 0)
    return np.repeat(np.maximum(same.sum(axis=1), 1.0), S)


def moments_by_class(sums, size, S):
    """Second moments of the factors over all rows, and their sum over the rows of each class.

    Where all scores are 0, every class has probability 1 / K and every row the same curvature
    f = (1 - 1 / K) / K, and the slopes are sum_i s_i (1 / K - [y_i = k]) Y_i.

    Returns
    -------
    moments : ndarray of shape (d + 1, d + 1)
    totals : ndarray of shape (K, d + 1)
    """
    K = max(S, 2)
    _, slopes, curvatures, _ = sums(np.zeros((size, S)))
    moments = curvatures[0, 0] / ((1.0 - 1.0 / K) / K)
    totals = moments[-1] / K - slopes.T
    return moments, totals if S > 1 else np.vstack([moments[-1] - totals, totals])


def shared_out(w0, copies, t):
    """w0 with copies sharing the weight of one column, and the same total for each score: (p,)."""
    shared = w0 / copies
    total, left = np.bincount(t, weights=w0), np.bincount(t, weights=shared)
    return shared * (total / np.where(left == 0, 1.0, left))[t]


def fit_intercepts(theta, sums, M, t):
    """theta with the intercepts that minimise the first term of (2), its weights held fixed.

    An average of minimisers is none: without this the mean probability of the training rows would
    miss the prevalence where positives are few.
    """
    S = t[-1] + 1
    V = scores_matrix(np.append(theta[:-S], np.zeros(S)), M, t)
    nothing = {"w0": np.empty(0), "strength": 0.0, "nonnegative": False}
    b = minimise(theta[-S:], lambda of_b: sums(V + of_b), M[-S:], t[-S:], **nothing)[0]
    return np.append(theta[:-S], b)


def _curvature(theta, sums, M, t):
    """Trace of the Hessian of the first term of (2) in the weights."""
    weights = np.arange(len(theta) - t[-1] - 1)
    return mean_loss(theta, sums, M, t)[2][weights, weights].sum()


def _evidence_cost(theta, hessian, posterior_cost, precision, nonnegative):
    """-log Laplace evidence of a strength (MacKay 1992), up to a constant.

    The penalty is a normal prior on w about w0, with precision strength / S times the number of
    copies, shape (p,). With H the Hessian of the negative log posterior over the coordinates that
    the constraint leaves free, it is

        -log posterior(theta) + log det(H) / 2 - sum log(precision) / 2.
    """
    p, free = len(precision), np.ones(len(theta), dtype=bool)
    free[:p] = theta[:p] > 0 if nonnegative else True
    log_det = np.linalg.slogdet(hessian[np.ix_(free, free)])[1]
    return posterior_cost + 0.5 * (log_det - np.log(precision[free[:p]]).sum())
