"""Models that say what another one says: how many there are, and how they share its prior.

Symbols as in `aggregator`, with M and t extended by the intercepts.
"""

import numpy as np

# Correlation of two reconstructions within the classes. Good models of an easy set correlate above
# .999 over all rows, because the classes lie far apart, and three linear models do within them: they
# are worth counting. Reconstruction takes the noise off copies, so few copies fall below.
COPIES_ABOVE = 0.9999
CONSTANT_BELOW = 1e-12  # of the largest variance: rounding correlates with itself


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
    within = moments - sum(np.outer(total, total) / total[-1] for total in totals if total[-1] > 0)
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
