"""The row passes of `completion` compiled by numba, for confidences of 0 and 1; symbols as there.

L is the inverse of S. No function holds Python's lock.
"""

from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
}


@njit(**OPTIONS)
def _conditional(z, c, L, missing, V, mean):
    """Number k of missing cells; they, their covariance and mean are written to the first k places.

    V = (L_uu)^-1 by an inverse Cholesky factor W, V = W'W; mean = -V L_uo z_o.
    """
    m, k = len(c), 0
    for j in range(m):
        if c[j] == 0.0:
            missing[k] = j
            k += 1
    for a in range(k):
        total = 0.0
        for j in range(m):
            if c[j] != 0.0:
                total += L[missing[a], j] * z[j]
        mean[a] = total
    _invert(L, missing, k, V)
    for a in range(k):
        total = 0.0
        for b in range(k):
            total += V[a, b] * mean[b]
        V[a, -1] = total  # a spare column: mean is still needed
    for a in range(k):
        mean[a] = -V[a, -1]
    return k


@njit(**OPTIONS)
def _invert(L, missing, k, V):
    """The inverse of L at the missing cells, into the first k rows and columns of V (m + 1, m + 1)."""
    for j in range(k):
        for i in range(j, k):
            total = L[missing[i], missing[j]]
            for l in range(j):
                total -= V[i, l] * V[j, l]
            V[i, j] = np.sqrt(total) if i == j else total / V[j, j]
    for j in range(k):  # the factor becomes its inverse, column by column
        V[j, j] = 1.0 / V[j, j]
        for i in range(j + 1, k):
            total = 0.0
            for l in range(j, i):
                total -= V[i, l] * V[l, j]
            V[i, j] = total / V[i, i]
    for i in range(k):  # W'W, row by row: entry (i, j) needs rows from max(i, j) on
        for j in range(i + 1):
            total = 0.0
            for l in range(i, k):
                total += V[l, i] * V[l, j]
            V[j, k] = total
        for j in range(i + 1):
            V[i, j] = V[j, k]
    for i in range(k):
        for j in range(i):
            V[j, i] = V[i, j]


@njit(**OPTIONS)
def _room(m):
    return np.empty(m, np.int64), np.empty((m + 1, m + 2)), np.empty(m)


@njit(**OPTIONS)
def _factorise(c, L, missing, G):
    """Number k of missing cells; they are written to missing (m,), and the lower Cholesky factor of
    L_uu, with the reciprocals of its diagonal, to the first k rows and columns of G (m, m).
    """
    k = 0
    for j in range(len(c)):
        if c[j] == 0.0:
            missing[k] = j
            k += 1
    for j in range(k):
        for i in range(j, k):
            total = L[missing[i], missing[j]]
            for l in range(j):
                total -= G[i, l] * G[j, l]
            G[i, j] = 1.0 / np.sqrt(total) if i == j else total * G[j, j]
    return k


@njit(**OPTIONS)
def _solve_lower(G, k, x):
    for i in range(k):
        total = x[i]
        for l in range(i):
            total -= G[i, l] * x[l]
        x[i] = total * G[i, i]


@njit(**OPTIONS)
def _solve_upper(G, k, x):
    for i in range(k - 1, -1, -1):
        x[i] *= G[i, i]
        for l in range(i):
            x[l] -= G[i, l] * x[i]


@njit(**OPTIONS)
def _variance(roots, missing, G, k, x):
    """trace(V B) with B = roots' roots, V = (G G')^-1: the squares of G^-1 times each root."""
    variance = 0.0
    for r in range(len(roots)):
        for a in range(k):
            x[a] = roots[r, missing[a]]
        _solve_lower(G, k, x)
        for a in range(k):
            variance += x[a] * x[a]
    return variance


@njit(**OPTIONS)
def complete_with_variance(Z, C, L, roots):
    """`completion.complete_with_variance`, with B = roots' roots, roots (r, m)."""
    n, m = Z.shape
    missing, G, x = np.empty(m, np.int64), np.empty((m, m)), np.empty(m)
    filled, variance = np.empty((n, m)), np.zeros(n)
    for i in range(n):
        k = _factorise(C[i], L, missing, G)
        for j in range(m):
            filled[i, j] = Z[i, j] if C[i, j] != 0.0 else 0.0
        for a in range(k):
            total = 0.0
            for j in range(m):
                total += L[missing[a], j] * filled[i, j]
            x[a] = total
        _solve_lower(G, k, x)
        _solve_upper(G, k, x)
        for a in range(k):
            filled[i, missing[a]] = -x[a]
        variance[i] = _variance(roots, missing, G, k, x)
    return filled, variance


@njit(**OPTIONS)
def expected_moment(Z, C, v, L):
    """`completion.expected_moment`."""
    m = Z.shape[1]
    missing, V, mean = _room(m)
    total, row = np.zeros((m, m)), np.empty(m)
    for i in range(len(Z)):
        k = _conditional(Z[i], C[i], L, missing, V, mean)
        row[:] = Z[i]
        for a in range(k):
            row[missing[a]] = mean[a]
            for b in range(k):
                total[missing[a], missing[b]] += v[i] * V[a, b]
        for j in range(m):
            scaled = v[i] * row[j]
            for l in range(m):
                total[j, l] += scaled * row[l]
    return total


@njit(**OPTIONS)
def excess_variance(C, L, roots):
    """`completion.excess_variance`, with B = roots' roots, roots (r, m)."""
    m = C.shape[1]
    missing, G, x = np.empty(m, np.int64), np.empty((m, m)), np.empty(m)
    variance = np.zeros(len(C))
    for i in range(len(C)):
        k = _factorise(C[i], L, missing, G)
        variance[i] = _variance(roots, missing, G, k, x)
    return variance
