"""Weighted ridge least squares by blocks of rows: fold-in and the fused ALS sweep, equation (4) of the design.

===========  ==============  ==========================================================================
symbol       shape           meaning
===========  ==============  ==========================================================================
n, m, d, B                   rows (instances), columns (base models), rank, rows in a block
Z            (n, m)          centred predictions; any finite number where C is 0
C            (n, m) or (m,)  confidence, >= 0, 0 = missing cell; (m,) = the same in every row, none missing
v            (n,)            weight of each row, >= 0
X            (m, d)          model factors
Y            (n, d)          instance factors
ridge_y      scalar          lambda sum(v C) / sum(v), which is lambda m for complete data with mean C of 1
ridge_x      scalar          lambda sum(v C) / m, likewise lambda sum(v)
A            (p, B)          lower triangles of B symmetric d x d matrices, packed by columns, p = d (d + 1) / 2
===========  ==============  ==========================================================================

The instance axis comes last inside a block, so that every elementary step of the factorisation is one operation on a
contiguous vector of B numbers and no Python loop runs over rows.

A sweep minimises, first over Y and then over X,

    F(X, Y) = sum_iu v_i c_iu (z_iu - x_u . y_i)^2 + ridge_y sum_i v_i |y_i|^2 + ridge_x |X|^2,

which is objective (1) times sum(v C). Row i's optimum does not depend on v_i: what training sees is what fold-in gives.

Where numba is installed (extra `fast`) and the rows are many, `least_squares_numba` passes over them instead.

Rows with the same confidence c share one factorisation: y_i = K z_i with K = (X' D_c X + ridge_y I)^-1 X' D_c. All that
a sweep sums over them, their second moment G = sum_i v_i z_i z_i' determines: the sum of v y y' is K G K', that of
v z y' is G K'. So the rows are read once for all sweeps.
"""

from functools import cache

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from cfens_stack.confidence_groups import confidence_groups

BLOCK_ROWS = 1024  # keeps a block of L (d^2 B doubles) within a 1 MB L2 cache up to d around 11
COMPILED_FROM = 8192  # rows; for fewer, loading numba (most of a second) costs more than it saves
COMPILED_ROWS = 8192  # handed over at a time, so that what has to be copied for it (strides, float32) stays small


def fold_in(Z, C, X, ridge_y, *, block_rows=BLOCK_ROWS):
    """Closed-form instance factors of every row, given the model factors: the first half of (4).

    Parameters
    ----------
    Z : ndarray of shape (n, m)
    C : ndarray of shape (n, m) or (m,)
    X : ndarray of shape (m, d)
    ridge_y : float, > 0
    block_rows : int, default=1024

    Returns
    -------
    Y : ndarray of shape (n, d)
    """
    n, d = Z.shape[0], X.shape[1]
    Y = np.empty((n, d), dtype=np.result_type(Z, X))
    if C.ndim == 1:
        K = _shared_solution(C, X, ridge_y)
        for rows in blocks(n, block_rows):
            Y[rows] = Z[rows] @ K.T
        return Y
    if groups := confidence_groups(C):
        for rows in groups:
            Y[rows] = Z[rows] @ _shared_solution(C[rows[0]], X, ridge_y).T
        return Y
    if kernel := _compiled(Z, C):
        for rows in blocks(n, COMPILED_ROWS):
            part = np.empty((rows.stop - rows.start, d))
            kernel.fold_in(*_doubles(Z[rows], C[rows], X), float(ridge_y), part)
            Y[rows] = part
        return Y
    for rows in blocks(n, block_rows):
        Y[rows] = _fold_in_block(Z[rows], C[rows], X, ridge_y)[0].T
    return Y


def sweep(Z, C, v, X, ridge_x, ridge_y, *, block_rows=BLOCK_ROWS):
    """One fused ALS sweep: Y from X and, in the same pass over Z and C, X from Y; then both are balanced.

    Each block's instance factors enter the normal equations of the model factors at once and are not kept.

    Returns
    -------
    X_new : ndarray of shape (m, d)
        Balanced model factors after the sweep.
    before : float
        F(X, Y(X)) at the X passed in, which costs nothing: with b_i the right-hand side of row i,
        min_y of its terms is sum_u c_iu z_iu^2 - b_i . y_i.
    after : float
        F after the sweep, at the new factors of both sides; another Y(X_new) can only be lower.
    """
    return finish_sweep(X, sweep_sums(Z, C, v, X, ridge_y, block_rows=block_rows), ridge_x, ridge_y)


def sweep_sums(Z, C, v, X, ridge_y, *, block_rows=BLOCK_ROWS):
    """What the rows contribute to a sweep; over partitions of the rows, contributions add up.

    Returns
    -------
    left : ndarray of shape (m, p)
        Normal equations of the model factors, packed.
    right : ndarray of shape (m, d)
    gram : ndarray of shape (d, d)
        Y'VY.
    fit : float
        The terms of F that rows have, at their minimum over Y.
    """
    if C.ndim == 1:
        return _group_sums([(C, second_moment(Z, v))], X, ridge_y)
    left, right, gram, fit = _no_sums(X)
    if kernel := _compiled(Z, C):
        for rows in blocks(len(Z), COMPILED_ROWS):
            fit += kernel.sweep_sums(*_doubles(Z[rows], C[rows], v[rows], X), float(ridge_y), left, right, gram)
        return left, right, gram, fit
    for rows in blocks(len(Z), block_rows):
        Z_b, C_b, v_b = Z[rows], C[rows], v[rows]
        Y_b, b = _fold_in_block(Z_b, C_b, X, ridge_y)
        weighted = Y_b * v_b
        left += C_b.T @ _packed_products(weighted, Y_b).T
        CZ = C_b * Z_b
        right += CZ.T @ weighted.T
        gram += weighted @ Y_b.T
        fit += float(v_b @ np.einsum("bu,bu->b", CZ, Z_b) - np.einsum("kb,kb->", weighted, b))
    return left, right, gram, fit


def second_moments(Z, C, v):
    """Confidence (m,) and second moment (m, m) of each group of rows with one confidence; None if groups are many."""
    if C.ndim == 1:
        return [(C, second_moment(Z, v))]
    groups = confidence_groups(C)
    return groups and [(C[rows[0]], second_moment(Z, v, rows)) for rows in groups]


def second_moment(Z, v, rows=None):
    """Z'VZ (m, m) of some rows, or of all."""
    total = np.zeros((Z.shape[1], Z.shape[1]))
    for block in blocks(len(Z) if rows is None else len(rows)):
        chosen = block if rows is None else rows[block]
        Z_b = Z[chosen]
        total += Z_b.T @ (v[chosen, None] * Z_b)
    return total


def sweep_moments(moments, X, ridge_x, ridge_y):
    """`sweep` from the `second_moments` of the rows."""
    return finish_sweep(X, _group_sums(moments, X, ridge_y), ridge_x, ridge_y)


def finish_sweep(X, sums, ridge_x, ridge_y):
    """Balanced new model factors, and F before and after, from the `sweep_sums` of all rows."""
    left, right, gram, fit = sums
    d = X.shape[1]
    packed = _add_ridge(np.ascontiguousarray(left.T), ridge_x, d)
    slope = right - _packed_times(packed, X)
    X_new = _solve_packed(packed, right.T.copy()).T
    balanced = balance(X_new, gram, ridge_x, ridge_y)
    before = fit + ridge_x * float(np.sum(X**2))
    # A quadratic falls by slope . step / 2 to its minimum, and slope here is half of a gradient; balancing keeps the
    # reconstruction and makes both penalties equal.
    penalties = ridge_x * np.sum(X_new**2) + ridge_y * np.trace(gram)
    after = before - np.sum(slope * (X_new - X)) - (penalties - 2.0 * ridge_x * np.sum(balanced**2))
    return balanced, before, float(after)


def balance(X, gram, ridge_x, ridge_y):
    """Rotate and scale X, and implicitly Y, so that ridge_x X'X and ridge_y Y'VY become equal and diagonal.

    X T and Y T^-T reconstruct the same matrix for every T; this T has the least regularisation. With P = ridge_x X'X =
    L L' and Q = ridge_y Y'VY, and L'QL = U S U', it is T = L^-T U S^(1/4). Directions in which X vanishes
    stay at zero, and the largest entry of every column is positive.

    Parameters
    ----------
    X : ndarray of shape (m, d)
    gram : ndarray of shape (d, d)
        Y'VY.
    ridge_x, ridge_y : float
    """
    p, V = np.linalg.eigh(ridge_x * X.T @ X)
    kept = p > p[-1] * 1e-14
    if not kept.any():
        return X
    L = V[:, kept] * np.sqrt(p[kept])
    S, U = np.linalg.eigh(L.T @ (ridge_y * gram) @ L)
    T = (V[:, kept] / np.sqrt(p[kept])) @ (U * np.maximum(S, 0.0) ** 0.25)
    balanced = np.zeros_like(X)
    balanced[:, : kept.sum()] = (X @ T)[:, ::-1]  # largest component first
    largest = balanced[np.abs(balanced).argmax(axis=0), np.arange(X.shape[1])]
    return np.where(largest < 0, -balanced, balanced)  # a sign that rounding does not decide


def ridges(C, v, lambda_reg):
    """(ridge_x, ridge_y): lambda of (1), whose terms are means, in the units of the normal equations, which are sums.

    C is (n, m) here.
    """
    total = np.sum(v @ C)
    return float(lambda_reg * total / C.shape[1]), float(lambda_reg * total / v.sum())


def blocks(n, block_rows=BLOCK_ROWS):
    """Slices that cut n rows into blocks."""
    return [slice(start, min(start + block_rows, n)) for start in range(0, n, block_rows)]


def _shared_solution(c, X, ridge_y):
    """K (d, m), which maps the predictions of a row with confidence c to its instance factors."""
    XC = X.T * c
    factor = cho_factor(XC @ X + ridge_y * np.eye(X.shape[1]), lower=True, check_finite=False)
    return cho_solve(factor, XC, check_finite=False)


def _group_sums(moments, X, ridge_y):
    """`sweep_sums` of the rows behind `second_moments`."""
    d = X.shape[1]
    columns, rows = np.triu_indices(d)  # the order of a packed lower triangle
    left, right, gram, fit = _no_sums(X)
    for c, G in moments:
        K = _shared_solution(c, X, ridge_y)
        KG = K @ G
        KGK = KG @ K.T
        left += np.outer(c, KGK[rows, columns])
        right += c[:, None] * KG.T
        gram += KGK
        fit += float(c @ np.diag(G) - np.sum(KG * (X.T * c)))
    return left, right, gram, fit


def _no_sums(X):
    m, d = X.shape
    return np.zeros((m, d * (d + 1) // 2)), np.zeros((m, d)), np.zeros((d, d)), 0.0


def _fold_in_block(Z, C, X, ridge_y):
    """Y (d, B) of a block, and its right-hand sides b (d, B)."""
    d = X.shape[1]
    b = X.T @ (C * Z).T
    A = _packed_products(X.T, X.T) @ C.T
    return _solve_packed(_add_ridge(A, ridge_y, d), b.copy()), b


def _packed_products(U, V):
    """Lower triangles of the outer products u v' of the columns of two (d, B) arrays, packed by columns: (p, B)."""
    d = len(U)
    return np.concatenate([U[j:] * V[j] for j in range(d)])


def _packed_times(A, X):
    """A_u x_u for each of the packed symmetric matrices A (p, m) and each row of X (m, d)."""
    d = X.shape[1]
    product = np.zeros_like(X)
    start = 0
    for j in range(d):
        column = A[start : start + d - j]
        product[:, j:] += (column * X[:, j]).T
        product[:, j] += np.einsum("ku,uk->u", column[1:], X[:, j + 1 :])
        start += d - j
    return product


def _add_ridge(A, ridge, d):
    """Add ridge to the d diagonals of a packed A, in place: column j starts with its diagonal and has d - j entries."""
    A[np.concatenate([[0], np.cumsum(np.arange(d, 1, -1))])] += ridge
    return A


def _solve_packed(A, b):
    """Solve B positive definite systems at once by A = L D L'; A (p, B) and b (d, B) are overwritten."""
    d, B = b.shape
    L = np.empty((d, d, B), dtype=A.dtype)
    D = np.empty((d, B), dtype=A.dtype)
    start = 0
    for j in range(d):
        column = A[start : start + d - j]
        start += d - j
        if j:
            column -= np.einsum("ikb,kb->ib", L[j:, :j], L[j, :j] * D[:j])
        D[j] = column[0]
        np.divide(column[1:], column[0], out=L[j + 1 :, j])
    for j in range(1, d):
        b[j] -= np.einsum("kb,kb->b", L[j, :j], b[:j])
    b /= D
    for j in range(d - 2, -1, -1):
        b[j] -= np.einsum("kb,kb->b", L[j + 1 :, j], b[j + 1 :])
    return b


def _compiled(Z, C):
    """`least_squares_numba` where it serves: many rows, with a confidence for each cell, and numba installed."""
    return _numba_kernel() if C.ndim == 2 and len(Z) >= COMPILED_FROM else None


@cache
def _numba_kernel():
    try:
        from cfens_stack import least_squares_numba
    except (ImportError, RuntimeError):  # not installed, or not for this numpy; no folder to keep compiled code in
        return None
    return least_squares_numba


def _doubles(*arrays):
    """The arrays as contiguous float64, copied only where they are not."""
    return [np.ascontiguousarray(array, dtype=np.float64) for array in arrays]
