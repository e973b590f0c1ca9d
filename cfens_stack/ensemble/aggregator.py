"""The aggregator: from reconstructed predictions to one probability a class, equation (2) of
docs/method.md.

======  ============  =========================================================================
symbol  shape         meaning
======  ============  =========================================================================
Y       (n, d)        instance factors of the labelled rows
M       (p, d)        loadings: row j times y_i is the centred link-scale reconstruction that
                      weight w_j multiplies
t       (p,)          the score that weight w_j feeds
S                     number of scores: 1 with the sigmoid (two classes), K with the softmax
y       (n,)          class codes 0..K-1
s       (n,)          class weight times sample weight, >= 0
theta   (p + S,)      (w, b), weights and intercepts
w0      (p,)          the w of the average of the calibrated models
gamma                 focal exponent, >= 0
======  ============  =========================================================================

Score k of row i is the sum of w_j M_j . y_i over the weights with t_j = k, plus b_k: each column
votes for its own class. With an intercept column in Y and rows for b in M, that is Y V with V (d +
1, S), so the n x m matrix of reconstructions is never formed.
"""

from dataclasses import dataclass

import numpy as np

from cfens_stack.ensemble.copies import copies_of_columns, shared_out
from cfens_stack.ensemble.losses import TINY
from cfens_stack.ensemble.newton import mean_loss, minimise, minimise_model, scores_matrix
from cfens_stack.ensemble.prior import Prior, mean_strength

AGGREGATORS = ("weighted", "mean")
NEGLIGIBLE = 1e-9  # share of the evidence
RULED_OUT = 50.0  # nats behind on the quadratic model, which may err; 21 are a negligible share


@dataclass(frozen=True)
class AggregatorFit:
    """Minimiser of (2), the strength used, which may be a pair (`Prior`), the values on the way
    there, and whether the gradient vanished.
    """

    w: np.ndarray
    b: np.ndarray
    strength: float | np.ndarray
    history: list
    converged: bool

    @property
    def aggregator_reg(self):
        """The strength as one number."""
        return mean_strength(self.strength, len(self.b))


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
    """One weight per column of `coef_`, for pictures and tables: with several classes the one of
    largest size. (m,).
    """
    W = np.atleast_2d(coef)
    return W[np.abs(W).argmax(axis=0), np.arange(W.shape[1])]


def fit_from_sums(
    likelihood,
    tilted,
    M,
    t,
    *,
    w0,
    b0,
    aggregator_reg,
    nonnegative,
    n,
    undamped=None,
    by_class=False,
    sampled=None,
):
    """(w, b) at a given strength, or averaged over strengths by their evidence for
    aggregator_reg="auto".

    The rows are seen only through sums. The evidence is that of the plain log likelihood, whatever
    class weights and gamma are: only a likelihood has one.

    Parameters
    ----------
    likelihood, tilted : callable
        V (d + 1, S) -> `loss_sums` over all labelled rows, of the likelihood and of (2); the same
        object if class weights and gamma change nothing.
    M, t, w0
        See the head of this file.
    b0 : ndarray of shape (S,)
        Intercepts to start from.
    aggregator_reg : float, pair of floats or "auto"
    nonnegative : bool
    n : float
        Sum of the sample weights of the labelled rows.
    undamped : callable, default=None
        The likelihood as if no cell were missing, in which copies are looked for; None: the same.
    by_class : bool, default=False
        Whether each model has a weight per class, ordered by model: "auto" then finds a pair of
        strengths (`Prior`).
    sampled : callable, default=None
        The likelihood of a sample of the rows, for a start.
    """
    S, p = len(b0), len(w0)
    M, t = with_intercepts(M, t, S)
    copies = copies_of_columns(undamped or likelihood, M, t)
    prior = Prior(shared_out(w0, copies, t[:p]), copies, nonnegative, n, by_class)
    start = np.append(prior.w0, b0)
    if sampled is not None:
        first = aggregator_reg
        if isinstance(aggregator_reg, str):
            first = prior.strengths[len(prior.strengths) // 2]
        start = prior.fit(start, first, sampled, M, t)[0]
    if not isinstance(aggregator_reg, str):
        theta, _, history, converged, _ = prior.fit(start, aggregator_reg, tilted, M, t)
        return AggregatorFit(theta[:p], theta[p:], aggregator_reg, history, converged)

    strengths, shares, fits = fit_path(start, likelihood, M, t, prior)
    theta = shares @ [fit[0] for fit in fits]
    if tilted is not likelihood:
        plain, theta = (fit_intercepts(theta, sums, M, t)[0] for sums in (likelihood, tilted))
        loss = mean_loss(theta, tilted, M, t)
        strengths = strengths * _curvature_ratio(loss, mean_loss(plain, likelihood, M, t), p)
        fits = []
        for strength in strengths:
            fits.append(prior.fit(theta, strength, tilted, M, t, loss))
            theta, loss = fits[-1][0], fits[-1][-1]
        theta = shares @ [fit[0] for fit in fits]
    converged = all(fit[3] for fit in fits)
    if len(fits) > 1:
        theta, done = fit_intercepts(theta, tilted, M, t)
        converged = converged and done
    history = [value for fit in fits for value in fit[2]]
    strength = np.exp(shares @ np.log(strengths))
    return AggregatorFit(theta[:p], theta[p:], strength, history, converged)


def intercepts_for(fit, sums, M, t):
    """Intercepts (S,) of a fit under other sums, its weights held fixed; M and t as for the fit."""
    M, t = with_intercepts(M, t, len(fit.b))
    return fit_intercepts(np.append(fit.w, fit.b), sums, M, t)[0][len(fit.w) :]


def with_intercepts(M, t, S):
    """M and t extended by the rows that pick the column of ones, for S intercepts."""
    M = np.vstack(
        [np.column_stack([M, np.zeros(len(M))]), np.tile(np.eye(M.shape[1] + 1)[-1], (S, 1))]
    )
    return M, np.append(t, np.arange(S))


def fit_path(start, sums, M, t, prior):
    """Fits at the strengths that the evidence does not rule out, and their shares of it.

    From a strength in the middle outwards, each fit starts where the quadratic model of the nearest
    one has its minimum, corrected by how the Hessian changed between the last two; this costs no
    pass over the rows. Many rows tell neighbouring strengths apart by dozens of nats: a strength
    that is `RULED_OUT` on that model is left out.

    Returns
    -------
    strengths : ndarray of shape (k,) or (k, 2)
        Strongest first.
    shares : ndarray of shape (k,)
        Weights that are proportional to the evidence, and sum to 1.
    fits : list of tuples
        What `minimise` returned.
    """
    fits: dict[int, tuple] = {}
    costs: dict[int, float] = {}
    strengths, middle = prior.strengths, len(prior.strengths) // 2
    places = np.rint(2.0 * np.log10(strengths)).reshape(len(strengths), -1)  # in half decades
    apart = np.abs(places[:, None] - places).sum(axis=2)
    for k in np.argsort(apart[middle], kind="stable").tolist():
        theta = start
        if fits:
            near, *further = sorted(fits, key=lambda j: apart[j, k])[:2]
            other = (fits[further[0]][0], fits[further[0]][-1]) if further else None
            model = minimise_model(
                fits[near][0], fits[near][-1], other, **prior.penalty(strengths[k])
            )
            if prior.evidence_cost(model, strengths[k]) > min(costs.values()) + RULED_OUT:
                continue
            theta = model[0]
        fits[k] = prior.fit(theta, strengths[k], sums, M, t)
        costs[k] = prior.evidence_cost(fits[k], strengths[k])
    order = np.array(sorted(fits))
    shares = np.exp(min(costs.values()) - np.array([costs[k] for k in order]))
    used = shares > NEGLIGIBLE * shares.sum()
    shares = shares[used] / shares[used].sum()
    return strengths[order[used]], shares, [fits[k] for k in order[used]]


def fit_intercepts(theta, sums, M, t):
    """theta with the intercepts that minimise the first term of (2), its weights held fixed; and
    whether the search converged.

    An average of minimisers is none: without this the mean probability of the training rows would
    miss the prevalence where positives are few.
    """
    S = t[-1] + 1
    V = scores_matrix(np.append(theta[:-S], np.zeros(S)), M, t)
    free = {"w0": np.empty(0), "strength": 0.0, "nonnegative": False}
    b, *_, converged, _ = minimise(theta[-S:], lambda of_b: sums(V + of_b), M[-S:], t[-S:], **free)
    return np.append(theta[:-S], b), converged


def _curvature_ratio(tilted, likelihood, p):
    """Trace of the Hessian in the weights of one `mean_loss` over that of another.

    1 where it says nothing: without curvature, or where the focal loss is concave on balance.
    """
    above, below = (np.trace(hessian[:p, :p]) for _, _, hessian in (tilted, likelihood))
    return above / below if min(above, below) > TINY else 1.0
