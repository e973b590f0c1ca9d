"""The objective (1) and (3) of the design, written as it reads; (2) is `newton.supervision`.

Trainers have faster ways to the value of (1); the tests hold them against `reconstruction`.
"""

import numpy as np


def reconstruction(Z, C, v, X, Y, lambda_reg):
    """L_recon of equation (1) with row weights v.

    Parameters
    ----------
    Z : ndarray of shape (n, m)
        Centred predictions, 0 in missing cells.
    C : ndarray of shape (n, m) or (m,)
        Confidence, 0 in missing cells.
    v : ndarray of shape (n,)
    X : ndarray of shape (m, d)
    Y : ndarray of shape (n, d)
    lambda_reg : float
    """
    squared_error = C * (Z - Y @ X.T) ** 2
    fit = np.sum(v @ squared_error) / np.sum(v @ np.broadcast_to(C, Z.shape))
    return fit + lambda_reg * (np.sum(X**2) / len(X) + v @ np.sum(Y**2, axis=1) / v.sum())


def joint(L_recon, L_sup, rho):
    """L of equation (3)."""
    return rho * L_recon + (1.0 - rho) * L_sup
