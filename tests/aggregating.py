"""`fit_from_sums` on factors that are one array."""

from functools import partial

import numpy as np

from cfens_stack.ensemble.aggregator import fit_from_sums
from cfens_stack.ensemble.losses import loss_sums


def fit_aggregator(Y, M, t, y, s, *, gamma, w0, b0, aggregator_reg, nonnegative, v, by_class=False):
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
        "by_class": by_class,
    }
    same = gamma == 0 and np.array_equal(s, v)
    return fit_from_sums(likelihood, likelihood if same else tilted, M, t, **options)
