"""Groups of rows with the same confidence, which share one factorisation in equation (4).

They are few where a model has one confidence and few patterns of missing cells occur, as where a
base model failed in a fold.
"""

import numpy as np

from cfens_stack.kernels.blocks import blocks

MOST_GROUPS = 128
# a group on average: with fewer, many small matrix products cost more than one pass over the rows
FEWEST_ROWS = 32
READ_ROWS = 8192


def confidence_groups(C):
    """Which rows of C are equal, where every column has one value or 0 and few patterns of zeros
    occur.

    Parameters
    ----------
    C : ndarray of shape (n, m)
        Confidence, >= 0.

    Returns
    -------
    groups : list of ndarray of int, or None
        The rows of each group, in order; None where C has other values or more than 128 groups, or
        they are small.
    """
    most = min(MOST_GROUPS, len(C) // FEWEST_ROWS)
    if most == 0 or not _one_value_a_column(C):
        return None
    codes = _pattern_codes(C)
    if len(np.unique(codes[: MOST_GROUPS * FEWEST_ROWS])) > most:
        return None
    patterns, group = np.unique(codes, return_inverse=True)
    if len(patterns) > most:
        return None
    return np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])


def second_moments(Z, C, v):
    """Confidence (m,), second moment Z'VZ (m, m) and weight of each group of rows with one
    confidence; None if groups are many.
    """
    if C.ndim == 1:
        return [(C, second_moment(Z, v), v.sum())]
    groups = confidence_groups(C) if len(C) else []
    if groups is None:
        return None
    return [(C[rows[0]], second_moment(Z, v, rows), v[rows].sum()) for rows in groups]


def merged_moments(parts):
    """The `second_moments` of several sets of rows as those of all; None where a set has none."""
    merged: dict = {}
    for part in parts:
        if part is None:
            return None
        for c, moment, mass in part:
            _, moments, masses = merged.get(c.tobytes(), (c, 0.0, 0.0))
            merged[c.tobytes()] = c, moments + moment, masses + mass
    return list(merged.values())


def second_moment(Z, v, rows=None):
    """Z'VZ (m, m) of some rows, or of all."""
    total = np.zeros((Z.shape[1], Z.shape[1]))
    for block in blocks(len(Z) if rows is None else len(rows)):
        chosen = block if rows is None else rows[block]
        Z_b = Z[chosen]
        total += Z_b.T @ (v[chosen, None] * Z_b)
    return total


def _one_value_a_column(C):
    value = np.zeros(C.shape[1])
    for start in range(0, len(C), READ_ROWS):
        part = C[start : start + READ_ROWS]
        largest = np.maximum(value, part.max(axis=0))
        if np.any((value > 0) & (value < largest)) or not np.all((part == 0) | (part == largest)):
            return False
        value = largest
    return True


def _pattern_codes(C):
    """One number or string of bytes a row for which of its cells are positive: ndarray of shape
    (n,).
    """
    bits = np.packbits(C > 0, axis=1)
    if bits.shape[1] > 8:
        return bits.view(np.dtype((np.bytes_, bits.shape[1])))[:, 0]
    words = np.zeros((len(C), 8), dtype=np.uint8)
    words[:, : bits.shape[1]] = bits
    return words.view(np.uint64)[:, 0]
