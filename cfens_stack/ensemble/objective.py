"""Objectives (1) and (3), written as they read, for numpy arrays and torch tensors alike.

Objective (2) is `newton.supervision`. ALS has faster ways to the value of (1); the tests hold
them against `reconstruction`.
"""


def reconstruction(Z, C, v, X, Y, lambda_reg):
    """L_recon of equation (1) with row weights v.

    Parameters
    ----------
    Z : array of shape (n, m)
        Centred predictions, 0 in missing cells.
    C : array of shape (n, m) or (m,)
        Confidence, 0 in missing cells.
    v : array of shape (n,)
    X : array of shape (m, d)
    Y : array of shape (n, d)
    lambda_reg : float
    """
    total = (v @ (C + 0.0 * Z)).sum()
    ridge_x, ridge_y = lambda_reg * total / len(X), lambda_reg * total / v.sum()
    return (v @ row_costs(Z, C, X, Y, ridge_y) + ridge_x * (X**2).sum()) / total


def row_costs(Z, C, X, Y, ridge_y):
    """What each row contributes to (1), times the sum of the confidence: array of shape (n,)."""
    return (C * (Z - Y @ X.T) ** 2).sum(1) + ridge_y * (Y**2).sum(1)


def joint(L_recon, L_sup, rho):
    """L of equation (3)."""
    return rho * L_recon + (1.0 - rho) * L_sup
