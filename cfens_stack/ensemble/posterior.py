"""From probabilities as trained to probabilities at the training prevalence, equation (7) of
docs/method.md.
"""

import numpy as np

from cfens_stack.ensemble.losses import TINY


def class_weights(mass):
    """Balanced weights N / (K N_k) from the weight N_k of the rows of each class; their mean over
    the rows is 1. Shape (K,).
    """
    return mass.sum() / (len(mass) * mass)


def natural_posterior(P, weights, gamma):
    """Undo the tilt of class weights and of the focal loss.

    The minimiser of the weighted focal risk is a strictly increasing image of the class posterior
    of the reweighted population, inverted in closed form (Charoenphakdee et al. 2021, theorem 11);
    dividing by the class weights then moves it back to the training prevalence (Elkan 2001, theorem
    2).

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
        P = invert_focal(P, gamma)
    if np.ptp(weights) > 0:
        P = P / weights
        P = P / P.sum(axis=1, keepdims=True)
    return P


def invert_focal(P, gamma):
    """eta_k proportional to p_k / ((1 - p_k)^gamma - gamma (1 - p_k)^(gamma - 1) p_k log p_k)."""
    p = np.clip(P, TINY, 1.0)
    others = P @ (1.0 - np.eye(P.shape[1]))  # 1 - p without cancellation
    q = np.maximum(others, TINY)
    log_eta = np.log(p) - (gamma - 1.0) * np.log(q) - np.log(q - gamma * p * np.log(p))
    eta = np.exp(log_eta - log_eta.max(axis=1, keepdims=True))
    return eta / eta.sum(axis=1, keepdims=True)
