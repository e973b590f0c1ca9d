"""Link and centring of the prediction matrix: z_ui = (g(r_ui) - mu_u) / s.

With one column per model the logit link is the log-odds, smoothed: log((r + e) / (1 - r + e)).
Probabilities of 0 and 1 stay finite, and no two that differ become equal, as they would by
clipping. With K columns per model it is the centred log-ratio, log(r_k + e) minus its mean over the
classes; for two classes that is plus and minus half the log-odds.
"""

import numpy as np
from scipy.special import expit, softmax

from cfens_stack.kernels.blocks import blocks, weighted_total

LINKS = ("logit", "identity")
LARGEST_SCORE = 1e100


def refuse_large_scores(R):
    """R, or an error where the square of a value could overflow."""
    for rows in blocks(len(R)):
        large = np.abs(R[rows]) > LARGEST_SCORE
        if large.any():
            raise ValueError(
                f"R holds {R[rows][large][0]:g}: scores are accepted up to {LARGEST_SCORE:g} in "
                "size. Rescale them."
            )
    return R


def apply_link(R, link, smoothing, n_outputs):
    """g(R). Missing cells stay NaN.

    Parameters
    ----------
    R : ndarray of shape (n, q)
        Model-major; with the logit link, values outside [0, 1] are taken for 0 or 1.
    link : {"logit", "identity"}
    smoothing : float > 0
        e of the logit link.
    n_outputs : int
        Columns per model.
    """
    if link == "identity":
        return np.asarray(R, dtype=np.result_type(R, np.float32))
    G = np.empty(R.shape, dtype=np.result_type(R, np.float32))
    for rows in blocks(len(R)):  # large intermediate arrays would cost more than the logarithms
        G[rows] = _log_odds(R[rows], smoothing, n_outputs)
    return G


def _log_odds(R, smoothing, n_outputs):
    R = np.clip(R, 0.0, 1.0)
    if n_outputs == 1:
        return np.log(R + smoothing) - np.log((1.0 - R) + smoothing)  # the quotient could overflow
    log_R = np.log(R + smoothing).reshape(len(R), R.shape[1] // n_outputs, n_outputs)
    present = np.isfinite(log_R)
    count = np.maximum(present.sum(axis=2, keepdims=True), 1)
    return (log_R - np.where(present, log_R, 0.0).sum(axis=2, keepdims=True) / count).reshape(
        R.shape
    )


def invert_link(G, link, smoothing, n_outputs):
    """Predictions from link-scale values, -inf for a class without any; with the logit link they
    are probabilities.
    """
    if link == "identity":
        return G
    if n_outputs == 1:
        R, total = expit(G), 1.0 + 2.0 * smoothing
    else:
        G = G.reshape(len(G), -1, n_outputs)
        classes = np.sum(-np.inf < G, axis=2, keepdims=True)
        R, total = softmax(G, axis=2), 1.0 + smoothing * classes
    return np.clip(R * total - smoothing, 0.0, 1.0).reshape(len(G), -1)


def centre(G, observed, v):
    """Column means and one global scale of link-scale predictions, over observed cells of rows
    weighted by v.

    Parameters
    ----------
    G : ndarray of shape (n, q)
        Link-scale predictions; ignored where `observed` is False.
    observed : ndarray of bool, shape (n, q)
    v : ndarray of shape (n,)

    Returns
    -------
    mu : ndarray of shape (q,)
        0 for a column without an observed cell, such as a class that one model has never seen.
    s : float
        Root mean square of G - mu; 1 where all columns are constant.
    """
    count, total = column_sums(G, observed, v)
    mu = means(count, total)
    return mu, spread(count, squares_about(G, observed, v, mu), mu)


def column_sums(G, observed, v):
    """Weight and sum of the observed cells of each column: two ndarrays of shape (q,); observed None:
    all are.
    """
    if observed is None:
        return np.full(G.shape[1], v.sum()), weighted_total(v, lambda G: G, G)
    count = weighted_total(v, lambda observed: observed, observed)
    return count, weighted_total(v, lambda G, observed: np.where(observed, G, 0.0), G, observed)


def means(count, total):
    """mu of `centre` from the sums over all rows."""
    return total / np.where(count > 0, count, 1.0)


def squares_about(G, observed, v, mu):
    """Sum of squared deviations of observed cells from mu; observed None: all are."""
    if observed is None:
        return np.sum(weighted_total(v, lambda G: (G - mu) ** 2, G))
    return np.sum(
        weighted_total(v, lambda G, observed: np.where(observed, G - mu, 0.0) ** 2, G, observed)
    )


def spread(count, squares, mu):
    """s of `centre` from the sums over all rows."""
    s = np.sqrt(squares / count.sum())
    return float(s) if s > 1e-12 * max(1.0, np.abs(mu).max()) else 1.0


def standardise(G, observed, mu, s):
    """Z = (G - mu) / s with 0 in missing cells, as the least-squares kernels want it; observed None:
    nothing is missing.
    """
    Z = np.empty(G.shape)
    for rows in blocks(len(G)):
        np.subtract(G[rows], mu, out=Z[rows])
        Z[rows] /= s
        if observed is not None:
            Z[rows][~observed[rows]] = 0.0
    return Z
