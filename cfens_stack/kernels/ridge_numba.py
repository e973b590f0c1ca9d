"""The row passes of `ridge` compiled by numba, for a confidence of shape (n, m); symbols as there.

A block stays in the caches, and the elimination runs on packed triangles in place, the instance
axis last. No function holds Python's lock.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import boolean, float64, from_dtype, njit, types, void

# No power of two, or the rows of A would share few sets of the L1 cache; OpenBLAS has its best
# products for matrices as small as these.
BLOCK_ROWS = 144
DUAL_FROM = 0.85  # of m: elimination is cheaper here than in numpy
# Sums may be reordered; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
}


@njit(**OPTIONS)
def _offset(j, q):
    """Entry (i, j) of a packed triangle is row offset(j) + i."""
    return j * q - j * (j + 1) // 2


@njit(**OPTIONS)
def _factorise(A, scaled):
    """A = U D^-1 U' of B packed triangles (p, B), D the diagonal of U: A becomes U with 1 / D on
    its diagonal.

    Columns are subtracted four at a time, so that an entry is read and written once for four of
    them. scaled (q, B) is room.
    """
    q, B = scaled.shape
    for j in range(q):
        at = _offset(j, q)
        for k in range(j):
            at_k = _offset(k, q)
            for b in range(B):
                scaled[k, b] = A[at_k + j, b] * A[at_k + k, b]
        fours = j - j % 4
        for i in range(j, q):
            for k in range(0, fours, 4):
                k0, k1, k2, k3 = (
                    _offset(k, q),
                    _offset(k + 1, q),
                    _offset(k + 2, q),
                    _offset(k + 3, q),
                )
                for b in range(B):
                    A[at + i, b] -= (
                        A[k0 + i, b] * scaled[k, b]
                        + A[k1 + i, b] * scaled[k + 1, b]
                        + A[k2 + i, b] * scaled[k + 2, b]
                        + A[k3 + i, b] * scaled[k + 3, b]
                    )
            for k in range(fours, j):
                at_k = _offset(k, q)
                for b in range(B):
                    A[at + i, b] -= A[at_k + i, b] * scaled[k, b]
        for b in range(B):
            A[at + j, b] = 1.0 / A[at + j, b]


@njit(**OPTIONS)
def _substitute(A, t):
    """Solve for t (q, B), which holds the right-hand sides, by the factors that `_factorise` left
    in A.
    """
    q, B = t.shape
    for j in range(q):
        at = _offset(j, q)
        for b in range(B):
            t[j, b] *= A[at + j, b]
        for i in range(j + 1, q):
            for b in range(B):
                t[i, b] -= A[at + i, b] * t[j, b]
    for j in range(q - 2, -1, -1):
        at = _offset(j, q)
        fours = q - (q - j - 1) % 4
        for i in range(j + 1, fours, 4):
            for b in range(B):
                t[j, b] -= A[at + j, b] * (
                    A[at + i, b] * t[i, b]
                    + A[at + i + 1, b] * t[i + 1, b]
                    + A[at + i + 2, b] * t[i + 2, b]
                    + A[at + i + 3, b] * t[i + 3, b]
                )
        for i in range(fours, q):
            for b in range(B):
                t[j, b] -= A[at + j, b] * A[at + i, b] * t[i, b]


@njit(**OPTIONS)
def _solve_block(XT, constant, dual, ridge, buffers):
    """The instance factors (d, B) of the block in the buffers."""
    _, CZ, CT, A, t, scaled, y = buffers
    q = len(t)
    if dual:
        for row in range(len(constant)):
            A[row] = constant[row, 0]
    else:
        np.dot(constant, CT, A)
        np.dot(XT, CZ.T, t)
    for j in range(q):
        row = _offset(j, q) + j
        for i in range(BLOCK_ROWS):
            A[row, i] += ridge / CT[j, i] if dual else ridge
    _factorise(A, scaled)
    _substitute(A, t)
    if dual:
        np.dot(XT, t, y)
    else:
        y[:] = t
    return y


@njit(**OPTIONS)
def _read_block(Z, C, start, dual, buffers):
    """Copy a block to C, C Z, C' and, for the dual, to t, with zeros after the last row; returns
    its size.
    """
    C_b, CZ, CT, _, t, _, _ = buffers
    size = min(BLOCK_ROWS, len(Z) - start)
    for i in range(size):
        for u in range(len(CT)):
            C_b[i, u] = C[start + i, u]
            CZ[i, u] = C[start + i, u] * Z[start + i, u]
    C_b[size:], CZ[size:] = 0.0, 0.0
    for i in range(BLOCK_ROWS):
        for u in range(len(CT)):
            CT[u, i] = C_b[i, u]
    if dual:
        for i in range(size):
            for u in range(len(t)):
                t[u, i] = Z[start + i, u]
        t[:, size:] = 0.0
    return size


@njit(**OPTIONS)
def _make_buffers(XT, constant, dual):
    """Room for a block: C, C Z, C', A or the products of y, t, a scaled row of A, y."""
    d, m = XT.shape
    q = m if dual else d
    B, dtype = BLOCK_ROWS, XT.dtype
    C, CZ, CT = np.empty((B, m), dtype), np.empty((B, m), dtype), np.empty((m, B), dtype)
    A = np.empty((max(len(constant), d * (d + 1) // 2), B), dtype)
    scaled = np.empty((q, B), dtype)
    return C, CZ, CT, A, np.empty((q, B), dtype), scaled, np.empty((d, B), dtype)


def fold_in(Z, C, XT, constant, dual, ridge_y, Y):
    """Write the instance factors of all rows to Y (n, d); XT, constant and dual are
    `ridge_numpy.shared_part`.
    """
    buffers = _make_buffers(XT, constant, dual)
    for start in range(0, len(Z), BLOCK_ROWS):
        size = _read_block(Z, C, start, dual, buffers)
        y = _solve_block(XT, constant, dual, ridge_y, buffers)
        for i in range(size):
            for k in range(len(XT)):
                Y[start + i, k] = y[k, i]


def sweep_sums(Z, C, v, XT, constant, dual, ridge_y, left, right, gram):
    """Add what the rows contribute to left (p, m), right (d, m) and gram (d, d); returns sum_iu v_i
    c_iu z_iu^2.
    """
    d, p = len(XT), len(left)
    buffers = _make_buffers(XT, constant, dual)
    C_b, CZ, A, weighted = buffers[0], buffers[1], buffers[3], np.empty_like(buffers[6])
    squares = 0.0
    for start in range(0, len(Z), BLOCK_ROWS):
        size = _read_block(Z, C, start, dual, buffers)
        y = _solve_block(XT, constant, dual, ridge_y, buffers)
        for k in range(d):
            for i in range(size):
                weighted[k, i] = v[start + i] * y[k, i]
            weighted[k, size:] = 0.0
        row = 0
        for j in range(d):
            for k in range(j, d):
                for i in range(BLOCK_ROWS):
                    A[row, i] = weighted[k, i] * y[j, i]
                row += 1
        left += np.dot(A[:p], C_b)
        right += np.dot(weighted, CZ)
        gram += np.dot(weighted, y.T)
        for i in range(size):
            total = 0.0
            for u in range(C_b.shape[1]):
                total += CZ[i, u] * Z[start + i, u]
            squares += v[start + i] * total
    return squares


@cache
def passes(dtype):
    """`fold_in` and `sweep_sums` for float64 or float32: compiled, or read from what an earlier
    process compiled.
    """
    real = from_dtype(dtype)
    read, read_vector = (
        types.Array(real, 2, "C", readonly=True),
        types.Array(real, 1, "C", readonly=True),
    )
    write, sums = types.Array(real, 2, "C"), types.Array(float64, 2, "C")
    fold_in_type = void(read, read, read, read, boolean, real, write)
    sums_type = float64(read, read, read_vector, read, read, boolean, real, sums, sums, sums)
    return njit(fold_in_type, **OPTIONS)(fold_in), njit(sums_type, **OPTIONS)(sweep_sums)
