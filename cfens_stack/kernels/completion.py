"""Rows with missing cells completed under a normal model of the complete row, equation (4a).

===========  ==============  =======================================================================
symbol       shape           meaning
===========  ==============  =======================================================================
n, m         scalar          rows (instances), columns (base models)
Z            (n, m)          centred predictions; any finite number where C is 0
C            (n, m)          confidence, >= 0, 0 = missing cell
v            (n,)            weight of each row, >= 0
S            (m, m)          covariance of a complete row, positive definite
psi          scalar          its noise: S - psi I is positive semi-definite
o, u         index           observed and missing cells of a row, k of them missing
A_i          (m-k, m-k)      S_oo + psi diag(1 / c_o - 1), covariance of what is observed
===========  ==============  =======================================================================

A row of the model is z ~ N(0, S); a cell of confidence c is observed with noise psi (1 / c - 1) more
than a cell of confidence 1 has. Given what is observed, the missing cells have

    mean       S_uo A_i^-1 z_o
    covariance S_uu - S_uo A_i^-1 S_ou.

Where all confidences are 1, with L = S^-1, the same is -(L_uu)^-1 L_uo z_o and (L_uu)^-1 (the
partitioned inverse): k unknowns instead of m - k. Where numba is installed, `completion_numba` does
this row by row.
"""

import numpy as np

from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.ridge import compiled_kernel

BLOCK_ROWS = 512
LEAST_CONFIDENCE = 1e-150  # below, 1 / c and its products overflow
ROUNDING = 1e-15  # eigenvalues of less, as shares of the largest, are zero


def complete(Z, C, S, psi):
    """Rows with their missing cells at the conditional mean: ndarray of shape (n, m)."""
    if kernel := _compiled(C):
        nothing = np.zeros((0, len(S)))
        return kernel.complete_with_variance(*_arrays(Z, C), np.linalg.inv(S), nothing)[0]
    filled = np.where(C > 0, Z, 0.0)
    for rows, missing, mean, _ in _missing_blocks(Z, C, S, psi):
        filled[rows[:, None], missing] = mean
    return filled


def complete_with_variance(Z, C, S, psi, B):
    """What `complete` and `excess_variance` return, with one factorisation for both."""
    if kernel := _compiled(C):
        return kernel.complete_with_variance(*_arrays(Z, C), np.linalg.inv(S), _roots(B))
    return complete(Z, C, S, psi), excess_variance(C, S, psi, B)


def expected_moment(Z, C, v, S, psi):
    """sum_i v_i E[z_i z_i' | what is observed] (m, m), observed cells taken as they are.

    Over partitions of the rows, contributions add up.
    """
    if kernel := _compiled(C):
        return kernel.expected_moment(*_arrays(Z, C, v), np.linalg.inv(S))
    filled, total = np.where(C > 0, Z, 0.0), np.zeros_like(S)
    for rows, missing, mean, covariance in _missing_blocks(Z, C, S, psi):
        filled[rows[:, None], missing] = mean
        places = missing[:, :, None] * len(S) + missing[:, None, :]
        weighted = v[rows, None, None] * covariance
        total += np.bincount(places.ravel(), weighted.ravel(), minlength=S.size).reshape(S.shape)
    for rows in blocks(len(Z)):
        total += filled[rows].T @ (v[rows, None] * filled[rows])
    return total


def expected_moment_of_groups(groups, S, psi):
    """`expected_moment` of rows of which groups share their confidence.

    Parameters
    ----------
    groups : list of (c, moment, mass)
        Confidence (m,), sum of v z z' (m, m) and sum of v of each group of rows.
    """
    total = np.zeros_like(S)
    for c, moment, mass in groups:
        predict, covariance = _regression(c, S, psi)
        total += predict @ moment @ predict.T + mass * covariance
    return total


def excess_variance(C, S, psi, B):
    """trace(V_i B) of each row, V_i the covariance of its missing cells, B (m, m): shape (n,).

    With B = w w' it is the variance that w . z has because cells are missing; 0 for a complete row.
    """
    if kernel := _compiled(C):
        return kernel.excess_variance(*_arrays(C), np.linalg.inv(S), _roots(B))
    variance = np.zeros(len(C))
    for rows, missing, _, covariance in _missing_blocks(np.zeros_like(C), C, S, psi):
        part = B[missing[:, :, None], missing[:, None, :]]
        variance[rows] = np.einsum("bij,bij->b", covariance, part)
    return variance


def cell_variance(C, S, psi):
    """Conditional variance of each missing cell, 0 in observed ones: ndarray of shape (n, m)."""
    variance = np.zeros(C.shape)
    for rows, missing, _, covariance in _missing_blocks(np.zeros_like(C), C, S, psi):
        variance[rows[:, None], missing] = np.diagonal(covariance, axis1=1, axis2=2)
    return variance


def pairwise_moment(Z, C, v):
    """What a start is made of: sums of v z z' and of v over the rows that have both cells, (m, m)."""
    total, weight = np.zeros((2, Z.shape[1], Z.shape[1]))
    for rows in blocks(len(Z)):
        observed = (C[rows] > 0).astype(float)
        Z_b, weighted = Z[rows] * observed, v[rows, None] * observed
        total += Z_b.T @ (v[rows, None] * Z_b)
        weight += observed.T @ weighted
    return total, weight


def has_unit_confidence(C):
    """Whether all observed cells have confidence 1."""
    return all(bool(np.all((C[rows] == 0) | (C[rows] == 1))) for rows in blocks(len(C)))


def _missing_blocks(Z, C, S, psi):
    """Blocks of rows with k missing cells each: rows (B,), their missing cells (B, k), conditional
    mean (B, k) and covariance (B, k, k).
    """
    n_missing = np.count_nonzero(C == 0, axis=1)
    precision = np.linalg.inv(S) if has_unit_confidence(C) else None
    for k in np.unique(n_missing[n_missing > 0]):
        same = np.flatnonzero(n_missing == k)
        for block in blocks(len(same), BLOCK_ROWS):
            rows = same[block]
            # `nonzero` goes row by row, and each of these rows has k missing cells.
            observed = C[rows] > 0
            missing = np.nonzero(~observed)[1].reshape(-1, k)
            if precision is not None:
                covariance = np.linalg.inv(precision[missing[:, :, None], missing[:, None, :]])
                pulled = np.where(observed, Z[rows], 0.0) @ precision
                pulled = np.take_along_axis(pulled, missing, axis=1)
                mean = -np.matmul(covariance, pulled[:, :, None])[:, :, 0]
            else:
                seen = np.nonzero(observed)[1].reshape(len(rows), -1)
                z, c = (np.take_along_axis(array[rows], seen, axis=1) for array in (Z, C))
                mean, covariance = _conditional(S, psi, missing, seen, c, z)
            yield rows, missing, mean, covariance


def excess_noise(c):
    """1 / c - 1, finite however small a confidence is."""
    return 1.0 / np.maximum(c, LEAST_CONFIDENCE) - 1.0


def _conditional(S, psi, missing, seen, c, z):
    """Mean and covariance of the missing cells by the system of the observed ones."""
    A = S[seen[:, :, None], seen[:, None, :]]
    diagonal = np.arange(seen.shape[1])
    A[:, diagonal, diagonal] += psi * excess_noise(c)
    across = S[seen[:, :, None], missing[:, None, :]]
    solved = np.linalg.solve(A, np.concatenate([across, z[:, :, None]], axis=2))
    covariance = S[missing[:, :, None], missing[:, None, :]]
    covariance = covariance - across.transpose(0, 2, 1) @ solved[:, :, :-1]
    return np.einsum("bij,bi->bj", across, solved[:, :, -1]), covariance


def _regression(c, S, psi):
    """For rows of one confidence: the matrix that completes z (m, m), and the covariance (m, m)."""
    seen, missing = np.flatnonzero(c > 0), np.flatnonzero(c == 0)
    predict, covariance = np.zeros_like(S), np.zeros_like(S)
    predict[seen, seen] = 1.0
    if len(missing):
        A = S[np.ix_(seen, seen)] + psi * np.diag(excess_noise(c[seen]))
        slopes = np.linalg.solve(A, S[np.ix_(seen, missing)]).T
        predict[np.ix_(missing, seen)] = slopes
        covariance[np.ix_(missing, missing)] = (
            S[np.ix_(missing, missing)] - slopes @ S[np.ix_(seen, missing)]
        )
    return predict, covariance


def _compiled(C):
    """`completion_numba` where it serves: many rows, all confidences 1, and numba installed."""
    if compiled_kernel("completion_numba", C) is None or not has_unit_confidence(C):
        return None
    return compiled_kernel("completion_numba", C)


def _roots(B):
    """B (m, m), positive semi-definite, as roots' roots: ndarray of shape (rank, m)."""
    values, vectors = np.linalg.eigh(B)
    kept = values > ROUNDING * values[-1]
    return np.ascontiguousarray((vectors[:, kept] * np.sqrt(values[kept])).T)


def _arrays(*arrays):
    """The arrays as the compiled kernel takes them."""
    return [np.ascontiguousarray(array, dtype=np.float64) for array in arrays]
