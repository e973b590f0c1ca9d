"""Equation (4) for one block of rows after another, in numpy; symbols as in `ridge`.

The instance axis comes last inside a block, so that every elementary step of the elimination is one
operation on a contiguous vector of B numbers and no Python loop runs over rows.
"""

from itertools import accumulate

import numpy as np

DUAL_FROM = 0.95  # of m: where both forms take the same time
# Of U in a block: small enough for the caches, but steps of numpy want long vectors.
FACTOR_BYTES = 2**22
MOST_ROWS, FEWEST_ROWS = 4096, 256


class RowSystems:
    """The systems of the rows of a block, in the one of two forms that is cheaper; D = diag(c_i).

    Primal, d unknowns: (X'DX + ridge I) y = X'Dz, whose matrices are a product of C with the
    triangles x_u x_u'. Dual, m unknowns: (XX' + ridge D^-1) a = z and y = X'a, whose matrices
    differ between rows in their diagonals only. Where c = 0, or ridge / c overflows, that diagonal
    is infinite, so that a is 0.

    Parameters
    ----------
    X : ndarray of shape (m, d)
    ridge : float, > 0
    rows : int
        How many there are; `block_rows` is how many of them a block may have.
    dtype : dtype
        float64 or float32.
    """

    def __init__(self, X, ridge, rows, dtype):
        m, d = X.shape
        dtype = np.dtype(dtype)
        self.XT, self.constant, self.dual = shared_part(X, dtype, DUAL_FROM)
        q = m if self.dual else d
        most = min(MOST_ROWS, max(FEWEST_ROWS, FACTOR_BYTES // (q * q * dtype.itemsize)))
        self.block_rows = max(1, min(rows, most))
        self.ridge = dtype.type(ridge)
        self.diagonal = list(
            accumulate(range(q, 1, -1), initial=0)
        )  # a packed column starts with its diagonal
        # Work arrays in one piece, which malloc keeps for the next sweep; several are given back to
        # the system.
        sizes = [triangle(d), (q + 1) * q, q, q + 1, q, d]
        arena = np.empty((sum(sizes), self.block_rows), dtype=dtype)
        parts = [
            arena[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)
        ]
        self.A, self.U, self.inverse, self.change, self.extra, self.Y = parts
        self.U = self.U.reshape(q + 1, q, self.block_rows)

    def solve(self, Z, C, CZ):
        """Y (d, B) of the rows of Z and C, given with CZ, their product, as (B, m); the next call
        overwrites it.
        """
        B = len(Z)
        U, inverse, change = self.U[..., :B], self.inverse[:, :B], self.change[:, :B]
        if self.dual:
            with np.errstate(divide="ignore", over="ignore"):
                extra = np.divide(self.ridge, C.T, out=self.extra[:, :B])
            U[-1] = Z.T
            return np.matmul(
                self.XT, eliminate(self.constant, extra, U, inverse, change), out=self.Y[:, :B]
            )
        A = np.matmul(self.constant, C.T, out=self.A[:, :B])
        A[self.diagonal] += self.ridge
        np.matmul(self.XT, CZ.T, out=U[-1])
        return eliminate(A, None, U, inverse, change)

    def products(self, V, Y):
        """Packed triangles of the products v y' of the columns of V and Y (d, B); the next call
        overwrites them.
        """
        return products(V, Y, out=self.A[:, : Y.shape[1]])


def eliminate(A, extra, U, inverse, change):
    """Solve B positive definite systems at once: A + diag(extra) = U diag(U)^-1 U' with U lower
    triangular.

    A is (p, B), or (p, 1) where they differ only in their extra diagonal (q, B), which may be None.
    The last row of U (q + 1, q, B) holds the right-hand sides, which are eliminated with the
    matrices as one more row of theirs and become the solutions (q, B). inverse (q, B) and change (q
    + 1, B) are room.
    """
    q = len(inverse)
    start = 0
    for j in range(q):
        column = A[start : start + q - j]
        start += q - j
        np.multiply(U[j, :j], inverse[:j], out=change[:j])
        np.einsum("ikb,kb->ib", U[j:, :j], change[:j], out=change[j:])
        np.subtract(column, change[j:q], out=U[j:q, j])
        U[q, j] -= change[q]
        if extra is not None:
            U[j, j] += extra[j]
        np.reciprocal(U[j, j], out=inverse[j])
    solution = U[q]
    solution *= inverse
    for j in range(q - 2, -1, -1):
        np.einsum("kb,kb->b", U[j + 1 : q, j], solution[j + 1 :], out=change[0])
        change[0] *= inverse[j]
        solution[j] -= change[0]
    return solution


def shared_part(X, dtype, dual_from):
    """What is the same in all rows: X' (d, m), the matrices without C and the ridge, and whether
    those are the dual's.

    They are (p, m) for the primal, to be multiplied with C', and (p, 1) for the dual, packed. The
    dual serves from d = dual_from m on.
    """
    m, d = X.shape
    XT = np.ascontiguousarray(X.T, dtype=dtype)
    if d >= dual_from * m:
        return XT, (X @ X.T).astype(dtype)[packed_order(m)][:, None], True
    return XT, products(XT, XT), False


def triangle(d):
    """Entries of a packed triangle with d columns."""
    return d * (d + 1) // 2


def packed_order(d):
    """Columns and rows of the entries of a packed triangle."""
    return np.triu_indices(d)


def products(U, V, out=None):
    """Lower triangles of the outer products u v' of the columns of two (d, B) arrays, packed by
    columns: (p, B).
    """
    d = len(U)
    out = np.empty((triangle(d), U.shape[1]), dtype=U.dtype) if out is None else out
    start = 0
    for j in range(d):
        np.multiply(U[j:], V[j], out=out[start : start + d - j])
        start += d - j
    return out
