"""The logistic loss with its first two derivatives, summed over rows, compiled by numba.

One pass over the rows each: `joint_sums` for one regression on all columns (the aggregator),
`column_sums` for one regression per column (calibration slopes). Their twins in numpy are
`ensemble.losses.loss_sums` and `ensemble.calibration.sigmoid_sums`. No function holds Python's
lock.

Exponential and logarithm are written out, because calls of the C library keep a loop from using
vector instructions:

    exp(x) = 2^k exp(r), with k the integer next to x / log 2, and Taylor's series to r^11
    log(1 + e) = 2 artanh(f) = 2 (f + f^3 / 3 + ...), with f = e / (2 + e) <= 1/3

Both keep 14 digits.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, types, void

JOINT_ROWS = 1024  # of a block
BLOCK_CELLS = 4096  # of a block; five such arrays stay in the L2 cache
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
# Added to a small number, it leaves the integer next to that in the lowest bits of the sum.
SHIFT = 1.5 * 2.0**52
LOWEST = -700.0  # exp of less is as good as zero
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# Reordering would take SHIFT away again; sums elsewhere may be reordered.
EXACT: dict[str, Any] = OPTIONS | {"fastmath": {"contract", "nsz"}}
SUMS: dict[str, Any] = OPTIONS | {"fastmath": {"contract", "nsz", "arcp", "reassoc"}}


@njit(**EXACT)
def _sigmoid(u, p, curvature, tail, shifted):
    """Write p = sigmoid(u), p (1 - p) and exp(-|u|), all (N,); shifted (N,) is room.

    In several loops, because the compiler gives up on one with many arrays that might overlap.
    """
    bits, power = shifted.view(np.int64), tail.view(np.int64)
    for i in range(len(u)):
        shifted[i] = max(-abs(u[i]), LOWEST) * LOG2_E + SHIFT
    for i in range(len(u)):
        power[i] = (bits[i] + 1023) << 52  # the bits of 2^k
    for i in range(len(u)):
        k = shifted[i] - SHIFT
        r = (max(-abs(u[i]), LOWEST) - k * LN2_HIGH) - k * LN2_LOW
        series = 1.0 / 39916800.0
        series = series * r + 1.0 / 3628800.0
        series = series * r + 1.0 / 362880.0
        series = series * r + 1.0 / 40320.0
        series = series * r + 1.0 / 5040.0
        series = series * r + 1.0 / 720.0
        series = series * r + 1.0 / 120.0
        series = series * r + 1.0 / 24.0
        series = series * r + 1.0 / 6.0
        series = series * r + 0.5
        series = series * r + 1.0
        tail[i] *= 1.0 + r * series
    for i in range(len(u)):
        larger = 1.0 / (1.0 + tail[i])
        smaller = tail[i] * larger
        p[i] = larger if u[i] > 0.0 else smaller
        curvature[i] = larger * smaller


@njit(**EXACT)
def _log_loss(u, tail):
    """exp(-|u|) becomes log(1 + exp(u))."""
    for i in range(len(u)):
        f = tail[i] / (2.0 + tail[i])
        g = f * f
        series = 1.0 / 21.0 + g * (1.0 / 23.0)
        series = 1.0 / 19.0 + g * series
        series = 1.0 / 17.0 + g * series
        series = 1.0 / 15.0 + g * series
        series = 1.0 / 13.0 + g * series
        series = 1.0 / 11.0 + g * series
        series = 1.0 / 9.0 + g * series
        series = 1.0 / 7.0 + g * series
        series = 1.0 / 5.0 + g * series
        series = 1.0 / 3.0 + g * series
        tail[i] = max(u[i], 0.0) + 2.0 * f * (1.0 + g * series)


def joint_sums(Y, V, y, s, slopes, hessian):
    """Add what rows contribute to the gradient (q,) and the Hessian (q, q) in V (q,) of
    sum_i s_i (log(1 + exp(u_i)) - y_i u_i), u = Y V; returns the value.
    """
    q, value = Y.shape[1], 0.0
    tilted = np.empty((JOINT_ROWS, q))
    u, p, curvature = np.empty(JOINT_ROWS), np.zeros(JOINT_ROWS), np.zeros(JOINT_ROWS)
    loss, room = np.empty(JOINT_ROWS), np.empty(JOINT_ROWS)
    for start in range(0, len(Y), JOINT_ROWS):
        size = min(JOINT_ROWS, len(Y) - start)
        rows = Y[start : start + size]
        u[:size] = np.dot(rows, V)
        _sigmoid(u[:size], p[:size], curvature[:size], loss[:size], room[:size])
        _log_loss(u[:size], loss[:size])
        for i in range(size):
            weight, label = s[start + i], y[start + i]
            value += weight * (loss[i] - label * u[i])
            p[i] = weight * (p[i] - label)
            curvature[i] *= weight
        for i in range(size):
            for j in range(q):
                tilted[i, j] = curvature[i] * rows[i, j]
        slopes += np.dot(p[:size], rows)
        hessian += np.dot(rows.T, tilted[:size])
    return value


def column_sums(Z, observed, v, a, b, sums):
    """Add sum_i v_i (p, p z, p q, p q z, p q z^2) of each column to sums (5, q), with p =
    sigmoid(a z + b), q = 1 - p.

    Over observed cells, or over all where observed has no rows.
    """
    n, q = Z.shape
    rows = max(1, BLOCK_CELLS // q)
    u, p, curvature = np.empty((rows, q)), np.empty((rows, q)), np.empty((rows, q))
    tail, room = np.empty((rows, q)), np.empty((rows, q))
    for start in range(0, n, rows):
        size = min(rows, n - start)
        Z_b, v_b = Z[start : start + size], v[start : start + size]
        for i in range(size):
            for j in range(q):
                u[i, j] = a[j] * Z_b[i, j] + b[j]
        # Flat, so that vectors fill up however few the columns are.
        z, u_b, p_b = Z_b.reshape(-1), u[:size].reshape(-1), p[:size].reshape(-1)
        curvature_b, tail_b = curvature[:size].reshape(-1), tail[:size].reshape(-1)
        room_b = room[:size].reshape(-1)
        _sigmoid(u_b, p_b, curvature_b, tail_b, room_b)
        if len(observed):
            seen = observed[start : start + size].reshape(-1)
            for k in range(len(z)):
                cell = 1.0 if seen[k] else 0.0
                p_b[k] *= cell
                curvature_b[k] *= cell
        for k in range(len(z)):
            u_b[k] = p_b[k] * z[k]
        for k in range(len(z)):
            tail_b[k] = curvature_b[k] * z[k]
        for k in range(len(z)):
            room_b[k] = tail_b[k] * z[k]
        sums[0] += np.dot(v_b, p[:size])
        sums[1] += np.dot(v_b, u[:size])
        sums[2] += np.dot(v_b, curvature[:size])
        sums[3] += np.dot(v_b, tail[:size])
        sums[4] += np.dot(v_b, room[:size])


@cache
def passes():
    """`joint_sums` and `column_sums`: compiled, or read from what an earlier process compiled."""

    def read(dtype, ndim):
        return types.Array(dtype, ndim, "C", readonly=True)

    rows, vector = read(float64, 2), read(float64, 1)
    total, totals = types.Array(float64, 1, "C"), types.Array(float64, 2, "C")
    mask = read(boolean, 2)
    joint = float64(rows, vector, read(int64, 1), vector, total, totals)
    columns = void(rows, mask, vector, vector, vector, totals)
    return njit(joint, **SUMS)(joint_sums), njit(columns, **SUMS)(column_sums)
