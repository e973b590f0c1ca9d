"""What each observed cell weighs in a score: the adjoint of completion and fold-in, row by row.

A score of a row is linear in its observed predictions z_o, given which are observed and how
confident they are. With symbols as in `completion` and `ridge`, and V (d, S) the weights of S scores
on the instance factors,

    fold-in     y_i = A_i^-1 X' D_ci z_i,      A_i = X' D_ci X + ridge I,
                so cell u weighs c_iu x_u' A_i^-1 V;
    completion  z_u = S_uo B_i^-1 z_o,         B_i = S_oo + psi diag(1 / c_o - 1),
                so weights a of a completed row are a_o + B_i^-1 S_ou a_u on what is observed.
"""

import numpy as np

from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.completion import excess_noise

BLOCK_NUMBERS = 1_000_000  # in the systems of a block of rows


def fold_in_weights(C, X, ridge, V):
    """Weights of the cells in scores that weigh the instance factors by V.

    Parameters
    ----------
    C : ndarray of shape (n, m)
        Confidence, >= 0, 0 = missing cell.
    X : ndarray of shape (m, d)
    ridge : float, > 0
    V : ndarray of shape (d, S)

    Returns
    -------
    weights : ndarray of shape (n, m, S)
        0 in missing cells.
    """
    d = X.shape[1]
    products = np.einsum("uk,ul->ukl", X, X).reshape(len(X), d * d)
    weights = np.empty((*C.shape, V.shape[1]))
    for rows in blocks(len(C), max(1, BLOCK_NUMBERS // d**2)):
        A = (C[rows] @ products).reshape(-1, d, d) + ridge * np.eye(d)
        solved = np.linalg.solve(A, np.broadcast_to(V, (len(A), *V.shape)))
        weights[rows] = C[rows, :, None] * (X @ solved)
    return weights


def completion_weights(C, S, psi, weights):
    """Weights of the observed cells, from weights of all cells of a completed row.

    Parameters
    ----------
    C : ndarray of shape (n, m)
        Confidence, >= 0, 0 = missing cell.
    S : ndarray of shape (m, m)
    psi : float
    weights : ndarray of shape (n, m, S) or (m, S)

    Returns
    -------
    weights : ndarray of shape (n, m, S)
        0 in missing cells.
    """
    m = len(S)
    weights = np.broadcast_to(weights, (len(C), *weights.shape[-2:]))
    moved = np.empty(weights.shape)
    for rows in blocks(len(C), max(1, BLOCK_NUMBERS // m**2)):
        seen = (C[rows] > 0).astype(float)
        # The system of the observed cells stands in one of all cells, the identity for the others.
        A = seen[:, :, None] * seen[:, None, :] * S
        A[:, np.arange(m), np.arange(m)] += np.where(seen > 0, psi * excess_noise(C[rows]), 1.0)
        gone = (1.0 - seen)[:, :, None] * weights[rows]
        moved[rows] = seen[:, :, None] * (
            weights[rows] + np.linalg.solve(A, seen[:, :, None] * (S @ gone))
        )
    return moved
