"""The row passes of `least_squares` compiled by numba, for a confidence of shape (n, m); symbols as there.

Blocks of 128 rows stay in the caches, and the elimination runs on packed triangles in place, the instance axis last.
Importing this file compiles it, callees first, or reads what an earlier import compiled. No function holds Python's
lock.
"""

from typing import Any

import numpy as np
from numba import float64, njit, types

BLOCK_ROWS = 128
# Sums may be reordered; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
}
MATRIX, VECTOR = types.Array(float64, 2, "C"), types.Array(float64, 1, "C")
READ_MATRIX, READ_VECTOR = MATRIX.copy(readonly=True), VECTOR.copy(readonly=True)
BUFFERS = types.UniTuple(MATRIX, 6)


@njit(**OPTIONS)
def _offset(j, d):
    return j * d - j * (j + 1) // 2


@njit(**OPTIONS)
def _factorise(A, scratch):
    """A = U D^-1 U' of B packed triangles (p, B), D the diagonal of U: A becomes U with 1 / D on its diagonal.

    Entry (i, j) of a triangle is row offset(j) + i, with offset(j) = j d - j (j + 1) / 2. Columns are subtracted four
    at a time, so that an entry is read and written once for four of them. scratch is (d, B).
    """
    d, B = scratch.shape
    for j in range(d):
        at = _offset(j, d)
        for k in range(j):
            at_k = _offset(k, d)
            for b in range(B):
                scratch[k, b] = A[at_k + j, b] * A[at_k + k, b]
        fours = j - j % 4
        for i in range(j, d):
            for k in range(0, fours, 4):
                k0, k1, k2, k3 = _offset(k, d), _offset(k + 1, d), _offset(k + 2, d), _offset(k + 3, d)
                for b in range(B):
                    A[at + i, b] -= (
                        A[k0 + i, b] * scratch[k, b]
                        + A[k1 + i, b] * scratch[k + 1, b]
                        + A[k2 + i, b] * scratch[k + 2, b]
                        + A[k3 + i, b] * scratch[k + 3, b]
                    )
            for k in range(fours, j):
                at_k = _offset(k, d)
                for b in range(B):
                    A[at + i, b] -= A[at_k + i, b] * scratch[k, b]
        for b in range(B):
            A[at + j, b] = 1.0 / A[at + j, b]


@njit(**OPTIONS)
def _substitute(A, y):
    """Solve for y (d, B), which holds the right-hand sides, by the factors that `_factorise` left in A."""
    d, B = y.shape
    for j in range(d):
        at = _offset(j, d)
        for b in range(B):
            y[j, b] *= A[at + j, b]
        for i in range(j + 1, d):
            for b in range(B):
                y[i, b] -= A[at + i, b] * y[j, b]
    for j in range(d - 2, -1, -1):
        at = _offset(j, d)
        fours = d - (d - j - 1) % 4
        for i in range(j + 1, fours, 4):
            for b in range(B):
                y[j, b] -= A[at + j, b] * (
                    A[at + i, b] * y[i, b]
                    + A[at + i + 1, b] * y[i + 1, b]
                    + A[at + i + 2, b] * y[i + 2, b]
                    + A[at + i + 3, b] * y[i + 3, b]
                )
        for i in range(fours, d):
            for b in range(B):
                y[j, b] -= A[at + j, b] * A[at + i, b] * y[i, b]


@njit(**OPTIONS)
def _solve_block(XT, P, ridge_y, buffers):
    """The instance factors (d, B) of the block in the buffers; its right-hand sides go to b."""
    C_b, CZ, A, b, y, scratch = buffers
    np.dot(P, C_b.T, A)
    np.dot(XT, CZ.T, b)
    y[:] = b
    row = 0
    for j in range(len(y)):
        A[row] += ridge_y
        row += len(y) - j
    _factorise(A, scratch)
    _substitute(A, y)
    return y


@njit(**OPTIONS)
def _read_block(Z, C, start, size, buffers):
    """Copy a block to C and C Z, zero in the rows from `size` on; returns sum_u c z^2 of each row."""
    C_b, CZ = buffers[:2]
    squares = np.zeros(BLOCK_ROWS)
    for i in range(size):
        total = 0.0
        for u in range(C_b.shape[1]):
            c, z = C[start + i, u], Z[start + i, u]
            C_b[i, u] = c
            CZ[i, u] = c * z
            total += c * z * z
        squares[i] = total
    C_b[size:] = 0.0
    CZ[size:] = 0.0
    return squares


@njit(**OPTIONS)
def _prepare(X):
    """X' (d, m), its packed products x_u x_u' (p, m), and room for a block: C, C Z, A, b, y and one more (d, B)."""
    m, d = X.shape
    XT, P = np.empty((d, m)), np.empty((d * (d + 1) // 2, m))
    row = 0
    for j in range(d):
        for u in range(m):
            XT[j, u] = X[u, j]
        for k in range(j, d):
            for u in range(m):
                P[row, u] = X[u, k] * X[u, j]
            row += 1
    C_b, CZ = np.empty((BLOCK_ROWS, m)), np.empty((BLOCK_ROWS, m))
    b, y, spare = np.empty((d, BLOCK_ROWS)), np.empty((d, BLOCK_ROWS)), np.empty((d, BLOCK_ROWS))
    return XT, P, (C_b, CZ, np.empty((row, BLOCK_ROWS)), b, y, spare)


@njit(types.void(READ_MATRIX, READ_MATRIX, READ_MATRIX, float64, MATRIX), **OPTIONS)
def fold_in(Z, C, X, ridge_y, Y):
    """Write the instance factors of all rows to Y (n, d)."""
    XT, P, buffers = _prepare(X)
    for start in range(0, len(Z), BLOCK_ROWS):
        size = min(BLOCK_ROWS, len(Z) - start)
        _read_block(Z, C, start, size, buffers)
        y = _solve_block(XT, P, ridge_y, buffers)
        for i in range(size):
            for k in range(len(XT)):
                Y[start + i, k] = y[k, i]


@njit(float64(READ_MATRIX, READ_MATRIX, READ_VECTOR, READ_MATRIX, float64, MATRIX, MATRIX, MATRIX), **OPTIONS)
def sweep_sums(Z, C, v, X, ridge_y, left, right, gram):
    """Add what the rows contribute to left (p, m), right (d, m) and gram (d, d); returns sum_iu v_i c_iu z_iu^2."""
    XT, P, buffers = _prepare(X)
    C_b, CZ, A, _, _, weighted = buffers
    fit = 0.0
    for start in range(0, len(Z), BLOCK_ROWS):
        size = min(BLOCK_ROWS, len(Z) - start)
        squares = _read_block(Z, C, start, size, buffers)
        y = _solve_block(XT, P, ridge_y, buffers)
        for i in range(size):
            fit += v[start + i] * squares[i]
        for k in range(len(XT)):
            for i in range(size):
                weighted[k, i] = v[start + i] * y[k, i]
            weighted[k, size:] = 0.0
        row = 0
        for j in range(len(XT)):
            for k in range(j, len(XT)):
                for i in range(BLOCK_ROWS):
                    A[row, i] = weighted[k, i] * y[j, i]
                row += 1
        left += np.dot(A, C_b)
        right += np.dot(weighted, CZ)
        gram += np.dot(weighted, y.T)
    return fit
