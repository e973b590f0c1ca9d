"""Which way a pass over the rows of a logistic loss goes: compiled, where numba is installed (extra
`fast`) and the rows are many enough to pay for loading it.

Rows go in chunks to the threads that `joblib.parallel_config` allows; sums do not depend on their
number.
"""

import numpy as np

from cfens_stack.kernels.blocks import blocks, over_chunks
from cfens_stack.kernels.compiled import load

# As for `ridge`, which has loaded numba by then where classes are imbalanced or cells missing: these
# passes take 30 ms more to load, and save as much in a fit of 10,000 rows and 20 columns.
COMPILED_FROM = 8192
CHUNK_ROWS = 16384


def is_compiled(n):
    """Whether passes over n rows are compiled."""
    return n >= COMPILED_FROM and load("logistic_numba") is not None


def joint_sums(Y, V, y, s):
    """Value, gradient (q,) and Hessian (q, q) in V (q,) of sum_i s_i CE(sigmoid(Y_i V), y_i)."""
    joint, _ = load("logistic_numba").passes()
    q = Y.shape[1]
    V = np.ascontiguousarray(V, dtype=np.float64)

    def chunk_sums(rows):
        slopes, hessian = np.zeros(q), np.zeros((q, q))
        arrays = _contiguous(Y[rows], np.float64), V, _contiguous(y[rows], np.int64)
        value = joint(*arrays, _contiguous(s[rows], np.float64), slopes, hessian)
        return value, slopes, hessian

    return _total(chunk_sums, len(Y))


def column_sums(a, b, Z, observed, v):
    """Sums (5, q) of v_i times p, p z, p (1 - p), p (1 - p) z and p (1 - p) z^2 over the observed
    cells of each column, with p_iu = sigmoid(a_u z_iu + b_u); observed None: all.
    """
    _, columns = load("logistic_numba").passes()
    q = Z.shape[1]
    a, b = (np.ascontiguousarray(part, dtype=np.float64) for part in (a, b))
    everything = np.ones((0, q), dtype=bool)

    def chunk_sums(rows):
        sums = np.zeros((5, q))
        seen = everything if observed is None else _contiguous(observed[rows], bool)
        columns(
            _contiguous(Z[rows], np.float64), seen, _contiguous(v[rows], np.float64), a, b, sums
        )
        return (sums,)

    return _total(chunk_sums, len(Z))[0]


def _total(chunk_sums, n):
    totals = None
    for sums in over_chunks(chunk_sums, blocks(n, CHUNK_ROWS)):
        totals = sums if totals is None else tuple(map(np.add, totals, sums))
    return totals


def _contiguous(array, dtype):
    return np.ascontiguousarray(array, dtype=dtype)
