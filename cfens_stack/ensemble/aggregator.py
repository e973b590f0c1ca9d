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
from cfens_stack.ensemble.newton import minimise

AGGREGATORS = ("weighted", "mean")
# Of aggregator_reg="auto", strongest first. Real sets use both ends. Weaker ones gain nothing
# there, and where few labels are separable the likelihood, and with it the evidence, would follow
# the weights to infinity.
STRENGTHS = 10.0 ** np.arange(4.0, 0.0, -0.5)


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
