"""Both forms of equation (4) in numpy, beside `np.linalg.solve` and each other."""

import numpy as np
import pytest

from cfens_stack.kernels import ridge_numpy
from cfens_stack.kernels.ridge_numpy import RowSystems, packed_order, products, triangle


def random_rows(n=40, m=8, d=6, seed=0):
    rng = np.random.default_rng(seed)
    C = rng.gamma(2.0, size=(n, m)) * (rng.random((n, m)) >= 0.3)
    C[3] = 0.0
    return rng.standard_normal((n, m)), C, rng.standard_normal((m, d))


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize("d", [1, 6, 8, 11])
def test_both_forms_solve_equation_4(form, d, monkeypatch):
    """Whichever is the cheaper one; a row without predictions, and missing cells, without warnings
    of division by 0.
    """
    monkeypatch.setattr(ridge_numpy, "DUAL_FROM", 0.0 if form == "dual" else np.inf)
    Z, C, X = random_rows(d=d)
    expected = [
        np.linalg.solve((X.T * c) @ X + 0.3 * np.eye(d), X.T @ (c * z))
        for z, c in zip(Z, C, strict=True)
    ]
    systems = RowSystems(X, 0.3, len(Z), np.float64)
    assert systems.dual == (form == "dual")
    found = systems.solve(Z, C, C * Z).T
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert not found[3].any()


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize("ridge", [1e-3, 1.0, 1e3])
def test_confidences_of_very_different_size_cost_no_digits(form, ridge, monkeypatch):
    """1e-308 and 1e-200 are next to missing cells, and beside 1e6 no reason for a NaN: (4)
    holds.
    """
    monkeypatch.setattr(ridge_numpy, "DUAL_FROM", 0.0 if form == "dual" else np.inf)
    Z, C, X = random_rows(d=8)
    C[:, 0], C[:, 1], C[0, 0] = 1e-200, 1e6, 1e-308
    Y = RowSystems(X, ridge, len(Z), np.float64).solve(Z, C, C * Z).T
    assert np.abs((C * (Z - Y @ X.T)) @ X - ridge * Y).max() < 1e-12 * np.abs((C * Z) @ X).max()


def test_a_shorter_block_uses_the_same_arrays():
    Z, C, X = random_rows()
    systems = RowSystems(X, 0.3, 16, np.float64)
    blocks = [
        systems.solve(Z[i : i + 16], C[i : i + 16], (C * Z)[i : i + 16]).T.copy()
        for i in range(0, 40, 16)
    ]
    np.testing.assert_allclose(
        np.concatenate(blocks), RowSystems(X, 0.3, 40, np.float64).solve(Z, C, C * Z).T, rtol=1e-10
    )


@pytest.mark.parametrize(
    ("q", "dtype", "rows"), [(2, np.float64, 4096), (32, np.float64, 512), (32, np.float32, 1024)]
)
def test_blocks_have_fewer_rows_where_systems_are_large(q, dtype, rows):
    assert RowSystems(np.ones((100, q)), 1.0, 10**6, dtype).block_rows == rows
    assert RowSystems(np.ones((100, q)), 1.0, 10, dtype).block_rows == 10


def test_packed_triangles_are_read_by_columns():
    V, Y = np.arange(6.0).reshape(3, 2), np.arange(6.0, 12.0).reshape(3, 2)
    columns, rows = packed_order(3)
    full = np.einsum("ib,jb->ijb", V, Y)
    np.testing.assert_array_equal(products(V, Y), full[rows, columns])
    assert len(products(V, Y)) == triangle(3)
