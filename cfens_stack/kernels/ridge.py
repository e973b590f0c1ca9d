"""Weighted ridge least squares by blocks of rows: fold-in and the fused ALS sweep, equation (4).

===========  ==============  =======================================================================
symbol       shape           meaning
===========  ==============  =======================================================================
n, m, d, B                   rows (instances), columns (base models), rank, rows in a block
Z            (n, m)          centred predictions; any finite number where C is 0
C            (n, m) or (m,)  confidence, >= 0, 0 = missing cell; (m,) = the same in every row, and
                             none missing
v            (n,)            weight of each row, >= 0
X            (m, d)          model factors
Y            (n, d)          instance factors
ridge_y      scalar          lambda sum(v C) / sum(v): lambda m for complete data with mean C of 1
ridge_x      scalar          lambda sum(v C) / m, likewise lambda sum(v)
A            (p, B)          lower triangles of B symmetric d x d matrices, packed by columns,
                             p = d (d + 1) / 2
===========  ==============  =======================================================================

A sweep minimises, first over Y and then over X,

    F(X, Y) = sum_iu v_i c_iu (z_iu - x_u . y_i)^2 + ridge_y sum_i v_i |y_i|^2 + ridge_x |X|^2,

which is objective (1) times sum(v C). Row i's optimum does not depend on v_i: what training sees is
what fold-in gives.

`ridge_numpy` solves for Y; where numba is installed (extra `fast`) and the rows are many,
`ridge_numba` passes over them instead, on the threads that `joblib.parallel_config` allows. Numpy
holds Python's lock too often for that: two threads gave it a factor of 1.2.

Z, C and X in float32 are worked on in float32, and added up over blocks in float64. For lambda >=
0.01 reconstructions keep 3e-5 of their largest entry and F 1e-5 of itself, which a fit that stops
at 1e-4 does not see; at lambda = 1e-4 it is 4e-4 and 5e-4 (`bench/float32.py`, 77 real matrices, 15
sweeps).

Rows with the same confidence c share one factorisation: y_i = K z_i with K = (X' D_c X + ridge_y
I)^-1 X' D_c. All that a sweep sums over them, their second moment G = sum_i v_i z_i z_i'
determines: the sum of v y y' is K G K', that of v z y' is G K'. So the rows are read once for all
sweeps.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from cfens_stack.kernels.blocks import blocks, over_chunks
from cfens_stack.kernels.compiled import compiled_kernel
from cfens_stack.kernels.missing_patterns import confidence_groups, second_moment
from cfens_stack.kernels.ridge_numpy import RowSystems, packed_order, shared_part, triangle

# handed over at a time: to threads, and so that what has to be copied (strides) stays small
COMPILED_ROWS = 8192


def fold_in(Z, C, X, ridge_y, *, block_rows=None):
    """Closed-form instance factors of every row, given the model factors: the first half of (4).

    Parameters
    ----------
    Z : ndarray of shape (n, m)
    C : ndarray of shape (n, m) or (m,)
    X : ndarray of shape (m, d)
    ridge_y : float, > 0
    block_rows : int, default=None
        Rows worked on at a time where a row has its own system; by default as many as suit the
        caches.

    Returns
    -------
    Y : ndarray of shape (n, d)
    """
    n, d = Z.shape[0], X.shape[1]
    Y = np.empty((n, d), dtype=np.result_type(Z, C, X))
    if C.ndim == 1:
        K = shared_solution(C, X, ridge_y)
        for rows in blocks(n):
            Y[rows] = Z[rows] @ K.T
        return Y
    if groups := confidence_groups(C):
        for rows in groups:
            Y[rows] = Z[rows] @ shared_solution(C[rows[0]], X, ridge_y).T
        return Y
    if kernel := compiled_kernel("ridge_numba", C):
        shared, (compiled, _) = shared_part(X, Y.dtype, kernel.DUAL_FROM), kernel.passes(Y.dtype)

        def fold_in_chunk(rows):
            compiled(*_contiguous(Y.dtype, Z[rows], C[rows]), *shared, ridge_y, Y[rows])

        for _ in over_chunks(fold_in_chunk, blocks(n, COMPILED_ROWS)):
            pass
        return Y
    systems = RowSystems(X, ridge_y, block_rows or n, Y.dtype)
    for rows in blocks(n, systems.block_rows):
        Y[rows] = systems.solve(Z[rows], C[rows], C[rows] * Z[rows]).T
    return Y


def sweep(Z, C, v, X, ridge_x, ridge_y, *, block_rows=None):
    """One fused ALS sweep: Y from X and, in the same pass over Z and C, X from Y; then both are
    balanced.

    Each block's instance factors enter the normal equations of the model factors at once and are
    not kept.

    Returns
    -------
    X_new : ndarray of shape (m, d)
        Balanced model factors after the sweep.
    before : float
        F(X, Y(X)) at the X passed in, which costs nothing: with b_i the right-hand side of row i,
        min_y of its terms is sum_u c_iu z_iu^2 - b_i . y_i, and sum_i v_i b_i . y_i is that of X
        times `right`.
    after : float
        F after the sweep, at the new factors of both sides; another Y(X_new) can only be lower.
    """
    return finish_sweep(X, sweep_sums(Z, C, v, X, ridge_y, block_rows=block_rows), ridge_x, ridge_y)


def sweep_sums(Z, C, v, X, ridge_y, *, block_rows=None):
    """What the rows contribute to a sweep; over partitions of the rows, contributions add up.

    Returns
    -------
    left : ndarray of shape (p, m)
        Normal equations of the model factors, packed.
    right : ndarray of shape (d, m)
    gram : ndarray of shape (d, d)
        Y'VY.
    fit : float
        The terms of F that rows have, at their minimum over Y.
    """
    if C.ndim == 1:
        return _group_sums([(C, second_moment(Z, v), v.sum())], X, ridge_y)
    dtype = np.result_type(Z, C, X)
    left, right, gram, squares = _no_sums(X)
    unit = np.ldexp(1.0, np.frexp(np.max(v, initial=0.0))[1])  # a power of two rounds nothing
    v = v / unit  # at most 1, which float32 holds
    if kernel := compiled_kernel("ridge_numba", C):
        shared, (_, compiled) = shared_part(X, dtype, kernel.DUAL_FROM), kernel.passes(dtype)

        def chunk_sums(rows):
            sums = _no_sums(X)[:3]
            arrays = _contiguous(dtype, Z[rows], C[rows], v[rows])
            return *sums, compiled(*arrays, *shared, ridge_y, *sums)

        for parts in over_chunks(chunk_sums, blocks(len(Z), COMPILED_ROWS)):
            left += parts[0]
            right += parts[1]
            gram += parts[2]
            squares += parts[3]
    else:
        systems = RowSystems(X, ridge_y, block_rows or len(Z), dtype)
        for rows in blocks(len(Z), systems.block_rows):
            Z_b, C_b, v_b = Z[rows], C[rows], v[rows].astype(dtype, copy=False)
            CZ = C_b * Z_b
            Y_b = systems.solve(Z_b, C_b, CZ)
            weighted = Y_b * v_b
            left += systems.products(weighted, Y_b) @ C_b
            right += weighted @ CZ
            gram += weighted @ Y_b.T
            squares += float(v_b @ np.einsum("bu,bu->b", CZ, Z_b))
    return unit * left, unit * right, unit * gram, unit * (squares - float(np.sum(X.T * right)))


def sweep_moments(moments, X, ridge_x, ridge_y):
    """`sweep` from the `missing_patterns.second_moments` of the rows."""
    return finish_sweep(X, _group_sums(moments, X, ridge_y), ridge_x, ridge_y)


def finish_sweep(X, sums, ridge_x, ridge_y):
    """Balanced new model factors, and F before and after, from the `sweep_sums` of all rows."""
    left, right, gram, fit = sums
    d = X.shape[1]
    before = fit + ridge_x * float(np.sum(X**2))
    columns, rows = packed_order(d)
    entry = np.empty((d, d), dtype=int)
    entry[rows, columns] = entry[columns, rows] = np.arange(len(left))
    A = left.T[:, entry] + ridge_x * np.eye(d)
    slope = right.T - (A @ X[:, :, None])[:, :, 0]
    X_new = np.linalg.solve(A, right.T[:, :, None])[:, :, 0]
    balanced = balance(X_new, gram, ridge_x, ridge_y)
    # A quadratic falls by slope . step / 2 to its minimum, and slope here is half of a gradient;
    # balancing keeps the reconstruction and makes both penalties equal.
    penalties = ridge_x * np.sum(X_new**2) + ridge_y * np.trace(gram)
    after = before - np.sum(slope * (X_new - X)) - (penalties - 2.0 * ridge_x * np.sum(balanced**2))
    return balanced.astype(X.dtype, copy=False), before, float(after)


def balance(X, gram, ridge_x, ridge_y):
    """Rotate and scale X, and implicitly Y, so that ridge_x X'X and ridge_y Y'VY become equal and
    diagonal.

    X T and Y T^-T reconstruct the same matrix for every T; this T has the least regularisation.
    With P = ridge_x X'X = L L' and Q = ridge_y Y'VY, and L'QL = U S U', it is T = L^-T U S^(1/4).
    Directions in which X vanishes stay at zero, and the largest entry of every column is positive.

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
    """(ridge_x, ridge_y): lambda of (1), whose terms are means, in the units of the normal
    equations, which are sums.

    C is (n, m) here.
    """
    total = np.sum(v @ C)
    return float(lambda_reg * total / C.shape[1]), float(lambda_reg * total / v.sum())


def shared_solution(c, X, ridge_y):
    """K (d, m), which maps the predictions of a row with confidence c to its instance factors."""
    XC = X.T * c
    factor = cho_factor(XC @ X + ridge_y * np.eye(X.shape[1]), lower=True, check_finite=False)
    return cho_solve(factor, XC, check_finite=False)


def _group_sums(moments, X, ridge_y):
    """`sweep_sums` of the rows behind `second_moments`."""
    columns, rows = packed_order(X.shape[1])
    left, right, gram, fit = _no_sums(X)
    for c, G, _ in moments:
        K = shared_solution(c, X, ridge_y)
        KG = K @ G
        KGK = KG @ K.T
        left += np.outer(KGK[rows, columns], c)
        right += KG * c
        gram += KGK
        fit += float(c @ np.diag(G) - np.sum(KG * (X.T * c)))
    return left, right, gram, fit


def _no_sums(X):
    m, d = X.shape
    return np.zeros((triangle(d), m)), np.zeros((d, m)), np.zeros((d, d)), 0.0


def _contiguous(dtype, *arrays):
    """The arrays in C order, copied only where they are not."""
    return [np.ascontiguousarray(array, dtype=dtype) for array in arrays]
