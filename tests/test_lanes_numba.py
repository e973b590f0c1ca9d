"""Arithmetic on several numbers at once, beside numpy."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from cfens_stack.lanes_numba import BYTES, load, reciprocal, store  # noqa: E402


@numba.njit
def combine(a, b, out, row, column):
    x, y = load(a, row, column), load(b, row + 1, column)
    store(out, row, column, (x + y) * x - reciprocal(y))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("column", [0, 3])  # 3: not where a vector register would start in memory
def test_lanes_are_computed_as_numpy_would_and_nothing_else_is_written(dtype, column):
    a, b = np.random.default_rng(0).uniform(1.0, 2.0, (2, 3, 40)).astype(dtype)
    out = np.zeros((3, 40), dtype=dtype)
    combine(a, b, out, 1, column)
    at = slice(column, column + BYTES // out.itemsize)
    expected = np.zeros_like(out)
    expected[1, at] = (a[1, at] + b[2, at]) * a[1, at] - 1 / b[2, at]
    np.testing.assert_allclose(out, expected, rtol=1e-14 if dtype == np.float64 else 1e-5)
