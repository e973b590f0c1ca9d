"""The row passes of `least_squares` compiled by numba, for a confidence of shape (n, m); symbols as there.

A block's triangles stay in the L2 cache and those of the instances in one `Lanes` in the L1 cache, where they are
eliminated in place. Importing this file compiles it for float64 and float32, callees first, or reads what an earlier
import compiled. No function holds Python's lock.
"""

from typing import Any

import numpy as np
from numba import boolean, float32, float64, njit, types, void

from cfens_stack.lanes_numba import BYTES, load, reciprocal, store

# In whole Lanes of either dtype. No power of two, or the rows of A would share few sets of the L1 cache; OpenBLAS has
# its best products for matrices as small as these.
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
def _factorise(A, b, q, scaled):
    """A = U diag(U)^-1 U' of the matrices in the lanes at b; A becomes U with the inverse of its diagonal.

    Two columns are done at a time, and two rows of them, so that what is loaded is used twice. scaled (2 q, lanes) has
    rows j and j + 1 of U diag(U)^-1, alternating.
    """
    for j in range(0, q - 1, 2):
        left, right = _offset(j, q), _offset(j + 1, q)
        first, below, second = load(A, left + j, b), load(A, left + j + 1, b), load(A, right + j + 1, b)
        for k in range(j):
            at = _offset(k, q)
            inverse, upper, lower = load(A, at + k, b), load(A, at + j, b), load(A, at + j + 1, b)
            store(scaled, 2 * k, 0, upper * inverse)
            store(scaled, 2 * k + 1, 0, lower * inverse)
            first = first - upper * (upper * inverse)
            below = below - lower * (upper * inverse)
            second = second - lower * (lower * inverse)
        inverse = reciprocal(first)
        ratio = below * inverse
        store(A, left + j, b, inverse)
        store(A, left + j + 1, b, below)
        store(A, right + j + 1, b, reciprocal(second - below * ratio))
        for i in range(j + 2, q - 1, 2):
            x0, y0 = load(A, left + i, b), load(A, right + i, b)
            x1, y1 = load(A, left + i + 1, b), load(A, right + i + 1, b)
            for k in range(j):
                at = _offset(k, q) + i
                upper, lower = load(A, at, b), load(A, at + 1, b)
                x, y = load(scaled, 2 * k, 0), load(scaled, 2 * k + 1, 0)
                x0, y0 = x0 - upper * x, y0 - upper * y
                x1, y1 = x1 - lower * x, y1 - lower * y
            store(A, left + i, b, x0)
            store(A, left + i + 1, b, x1)
            store(A, right + i, b, y0 - x0 * ratio)
            store(A, right + i + 1, b, y1 - x1 * ratio)
        if q % 2:
            x0, y0 = load(A, left + q - 1, b), load(A, right + q - 1, b)
            for k in range(j):
                upper = load(A, _offset(k, q) + q - 1, b)
                x0, y0 = x0 - upper * load(scaled, 2 * k, 0), y0 - upper * load(scaled, 2 * k + 1, 0)
            store(A, left + q - 1, b, x0)
            store(A, right + q - 1, b, y0 - x0 * ratio)
    if q % 2:
        last = load(A, _offset(q - 1, q) + q - 1, b)
        for k in range(q - 1):
            at = _offset(k, q)
            upper = load(A, at + q - 1, b)
            last = last - upper * (upper * load(A, at + k, b))
        store(A, _offset(q - 1, q) + q - 1, b, reciprocal(last))


@njit(**OPTIONS)
def _substitute(A, b, t):
    """Solve for the lanes at b of t (q, B), which hold right-hand sides, by the factors that `_factorise` left in A."""
    q = len(t)
    for j in range(q):
        at = _offset(j, q)
        x = load(t, j, b) * load(A, at + j, b)
        for i in range(j + 1, q):
            store(t, i, b, load(t, i, b) - load(A, at + i, b) * x)
    for i in range(q - 1, -1, -1):
        x = load(t, i, b) * load(A, _offset(i, q) + i, b)
        store(t, i, b, x)
        for j in range(i):
            store(t, j, b, load(t, j, b) - load(A, _offset(j, q) + i, b) * x)


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
    for b in range(0, BLOCK_ROWS, BYTES // A.itemsize):
        _factorise(A, b, q, scaled)
        _substitute(A, b, t)
    if dual:
        np.dot(XT, t, y)
    else:
        y[:] = t
    return y


@njit(**OPTIONS)
def _read_block(Z, C, start, dual, buffers):
    """Copy a block to C, C Z, C' and, for the dual, to t, with zeros after the last row; returns its size."""
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
    """Room for a block: C, C Z, C', A or the products of y, t, the factors scaled, y."""
    d, m = XT.shape
    q = m if dual else d
    B, dtype = BLOCK_ROWS, XT.dtype
    C, CZ, CT = np.empty((B, m), dtype), np.empty((B, m), dtype), np.empty((m, B), dtype)
    A = np.empty((max(len(constant), d * (d + 1) // 2), B), dtype)
    scaled = np.empty((2 * q, BYTES // XT.itemsize), dtype)
    return C, CZ, CT, A, np.empty((q, B), dtype), scaled, np.empty((d, B), dtype)


def _signatures(result, *arguments):
    """For float64 and for float32: "r" and "w" stand for matrices that are read or written, "v" for a vector."""
    found = []
    for real in (float64, float32):
        kinds = {
            "r": types.Array(real, 2, "C", readonly=True),
            "v": types.Array(real, 1, "C", readonly=True),
            "w": types.Array(real, 2, "C"),
            "sum": types.Array(float64, 2, "C"),
            "real": real,
            "bool": boolean,
        }
        found.append(result(*(kinds[argument] for argument in arguments)))
    return found


@njit(_signatures(void, "r", "r", "r", "r", "bool", "real", "w"), **OPTIONS)
def fold_in(Z, C, XT, constant, dual, ridge_y, Y):
    """Write the instance factors of all rows to Y (n, d); XT, constant and dual are `row_systems.shared_part`."""
    buffers = _make_buffers(XT, constant, dual)
    for start in range(0, len(Z), BLOCK_ROWS):
        size = _read_block(Z, C, start, dual, buffers)
        y = _solve_block(XT, constant, dual, ridge_y, buffers)
        for i in range(size):
            for k in range(len(XT)):
                Y[start + i, k] = y[k, i]


@njit(_signatures(float64, "r", "r", "v", "r", "r", "bool", "real", "sum", "sum", "sum"), **OPTIONS)
def sweep_sums(Z, C, v, XT, constant, dual, ridge_y, left, right, gram):
    """Add what the rows contribute to left (p, m), right (d, m) and gram (d, d); returns sum_iu v_i c_iu z_iu^2."""
    d = len(XT)
    p = d * (d + 1) // 2
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
