"""Link and centring of the prediction matrix: z_ui = (g(r_ui) - mu_u) / s, the head of section 3 of the design."""

import numpy as np
from scipy.special import expit, logit

LINKS = ("logit", "identity")


def apply_link(R, link, clip):
    """g(R): log-odds of probabilities clipped to [clip, 1 - clip], or R itself. Missing cells stay NaN."""
    if link == "logit":
        return logit(np.clip(R, clip, 1.0 - clip))
    return np.asarray(R, dtype=np.result_type(R, np.float32))


def invert_link(G, link):
    """Predictions from link-scale values; with the logit link they are probabilities."""
    return expit(G) if link == "logit" else G


def centre(G, observed, v):
    """Column means and one global scale of link-scale predictions, over observed cells of rows weighted by v.

    Parameters
    ----------
    G : ndarray of shape (n, m)
        Link-scale predictions; ignored where `observed` is False.
    observed : ndarray of bool, shape (n, m)
        Every column has an observed cell of positive weight.
    v : ndarray of shape (n,)

    Returns
    -------
    mu : ndarray of shape (m,)
    s : float
        Root mean square of G - mu; 1 where all columns are constant.
    """
    count = v @ observed
    mu = v @ np.where(observed, G, 0.0) / count
    s = np.sqrt(np.sum(v @ np.where(observed, G - mu, 0.0) ** 2) / count.sum())
    return mu, float(s) if s > 1e-12 * max(1.0, np.abs(mu).max()) else 1.0


def standardise(G, observed, mu, s):
    """Z = (G - mu) / s with 0 in missing cells, as the least-squares kernels want it."""
    return np.where(observed, (G - mu) / s, 0.0)
