"""The least-squares kernels against a readable twin: one `np.linalg.solve` a row, objective (1) as
it is written.
"""

from importlib.util import find_spec

import numpy as np
import pytest

from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.link import apply_link, centre, standardise
from cfens_stack.ensemble.objective import reconstruction
from cfens_stack.kernels import compiled
from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.ridge import balance, fold_in, ridges, sweep, sweep_sums


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def kernel(request, monkeypatch):
    """Every test of this file runs with both kernels, however few its rows are."""
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(compiled, "COMPILED_FROM", 0 if request.param == "numba" else np.inf)


def slow_fold_in(Z, C, X, ridge_y):
    C, penalty = np.broadcast_to(C, Z.shape), ridge_y * np.eye(X.shape[1])
    return np.array(
        [
            np.linalg.solve(X.T @ np.diag(c) @ X + penalty, X.T @ (c * z))
            for z, c in zip(Z, C, strict=True)
        ]
    )


def slow_model_factors(Z, C, v, Y, ridge_x):
    """X from Y: the same problem with rows and columns exchanged, cells weighted by v C, and
    ridge_x.
    """
    return slow_fold_in(Z.T, (v[:, None] * np.broadcast_to(C, Z.shape)).T, Y, ridge_x)


def random_problem(n=60, m=9, d=4, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 3)) @ rng.standard_normal((3, m)) + 0.5 * rng.standard_normal(
        (n, m)
    )
    C = rng.gamma(2.0, size=(n, m)) * (rng.random((n, m)) >= missing)
    v = rng.integers(0, 4, n).astype(float)
    return np.where(C > 0, Z, 0.0), C, v, rng.standard_normal((m, d))


def linked_predictions(n, m, seed=0):
    """Z of drawn predictions, as a fit has it."""
    G = apply_link(make_predictions(n, m, random_state=seed).R, "logit", 0.01, 1)
    v, observed = np.ones(n), np.ones(G.shape, dtype=bool)
    return standardise(G, observed, *centre(G, observed, v))


SHAPES = {
    "few factors": {"d": 3},
    "one factor": {"d": 1},
    "as many factors as models": {"m": 5, "d": 5},
    "more factors than models": {"m": 4, "d": 9},
    "one model": {"m": 1, "d": 1},
    "one row": {"n": 1, "missing": 0.0},
    "most cells missing": {"missing": 0.9},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_fold_in_solves_each_row_by_itself(shape):
    Z, C, _, X = random_problem(**shape)
    np.testing.assert_allclose(
        fold_in(Z, C, X, 0.3), slow_fold_in(Z, C, X, 0.3), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_sweep_solves_the_model_factors_up_to_a_change_of_basis(shape):
    """The balanced factors span what the twin's span: X_new = X T, and Y T^-T keeps every
    reconstruction.
    """
    Z, C, v, X = random_problem(**shape)
    v = np.maximum(v, 1.0)
    Y = slow_fold_in(Z, C, X, 0.3)
    expected = slow_model_factors(Z, C, v, Y, 0.7)
    balanced, *_ = sweep(Z, C, v, X, 0.7, 0.3)
    np.testing.assert_allclose(
        balanced, balance(expected, Y.T @ (v[:, None] * Y), 0.7, 0.3), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("shared", [True, False])
def test_sweep_sums_are_the_normal_equations_of_the_model_factors(shared):
    """Each of them, for partitions add them up; the factors alone would hide a sign, which
    balancing decides.
    """
    Z, C, v, X = random_problem(d=3)
    C = C[0] + 0.5 if shared else C
    Y = slow_fold_in(Z, C, X, 0.3)
    weights = v[:, None] * np.broadcast_to(C, Z.shape)
    left, right, gram, fit = sweep_sums(Z, C, v, X, 0.3)
    packed = np.array([(k, j) for j in range(3) for k in range(j, 3)])
    expected = np.einsum("iu,ik,il->klu", weights, Y, Y)[packed[:, 0], packed[:, 1]]
    np.testing.assert_allclose(left, expected, rtol=1e-9)
    np.testing.assert_allclose(right, Y.T @ (weights * Z), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(gram, Y.T @ (v[:, None] * Y), rtol=1e-9)
    assert fit == pytest.approx(
        np.sum(weights * (Z - Y @ X.T) ** 2) + 0.3 * v @ np.sum(Y**2, axis=1), rel=1e-10
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_sweep_reports_the_objective_at_the_factors_passed_in(shape):
    Z, C, v, X = random_problem(**shape)
    v, lambda_reg = np.maximum(v, 0.5), 0.05
    ridge_x, ridge_y = ridges(C, v, lambda_reg)
    _, value, _ = sweep(Z, C, v, X, ridge_x, ridge_y)
    brute = reconstruction(Z, C, v, X, slow_fold_in(Z, C, X, ridge_y), lambda_reg)
    assert value / np.sum(v @ C) == pytest.approx(brute, rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_sweep_reports_the_objective_after_it(shape):
    """The best X for the Y of the old one, both penalties balanced by a change of basis: F by twins
    of each step.
    """
    Z, C, v, X = random_problem(**shape)
    v = np.maximum(v, 0.5)
    Y = slow_fold_in(Z, C, X, 0.3)
    X_new = slow_model_factors(Z, C, v, Y, 0.7)
    # Over all changes of basis the smallest sum of the penalties is twice the nuclear norm of X_new
    # Y', weighted.
    nuclear = np.linalg.svd(
        np.sqrt(0.7) * X_new @ (np.sqrt(0.3 * v)[:, None] * Y).T, compute_uv=False
    ).sum()
    expected = v @ np.sum(C * (Z - Y @ X_new.T) ** 2, axis=1) + 2.0 * nuclear
    balanced, before, after = sweep(Z, C, v, X, 0.7, 0.3)
    assert after == pytest.approx(expected, rel=1e-10)
    assert sweep(Z, C, v, balanced, 0.7, 0.3)[1] <= after <= before


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
@pytest.mark.parametrize(
    "shape", [{"m": 20, "d": 8}, {"m": 7, "d": 7, "missing": 0.8}, {"m": 30, "d": 13}]
)
def test_numba_is_taken_where_it_is_installed_and_equals_numpy(shape, monkeypatch):
    """More rows than a hand-over, the last block short: 1e-10 in all that a fit gets from the
    rows.
    """
    Z, C, v, X = random_problem(n=9001, **shape)
    factors, sums = {}, {}
    for kernel, compiled_from in (("numpy", np.inf), ("numba", 9001)):
        monkeypatch.setattr(compiled, "COMPILED_FROM", compiled_from)
        factors[kernel], sums[kernel] = fold_in(Z, C, X, 0.3), sweep_sums(Z, C, v, X, 0.3)
    np.testing.assert_allclose(factors["numba"], factors["numpy"], rtol=1e-10, atol=1e-10)
    for fast, plain in zip(sums["numba"], sums["numpy"], strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-10, atol=1e-10 * np.abs(plain).max())
    assert not np.array_equal(factors["numba"], factors["numpy"]), (
        "rounding differs only if two kernels ran"
    )


def test_lambda_keeps_its_meaning_when_rows_or_models_are_repeated():
    """Both terms of (1) are means: the same rows ten times, or the same models, leave the value
    alone (mistake 2).
    """
    Z, C, v, X = random_problem(missing=0.2)
    Y = slow_fold_in(Z, C, X, 0.3)
    value = reconstruction(Z, C, v, X, Y, 0.05)
    rows = reconstruction(
        np.tile(Z, (10, 1)), np.tile(C, (10, 1)), np.tile(v, 10), X, np.tile(Y, (10, 1)), 0.05
    )
    models = reconstruction(np.tile(Z, 10), np.tile(C, 10), v, np.tile(X, (10, 1)), Y, 0.05)
    assert rows == pytest.approx(value, rel=1e-12)
    assert models == pytest.approx(value, rel=1e-12)


def test_row_weights_count_copies():
    """Weight k is the row k times, weight 0 is no row: in the model factors, in the objective and
    in the ridges.
    """
    Z, C, v, X = random_problem()
    copies = np.repeat(np.arange(len(Z)), v.astype(int))
    ones = np.ones(len(copies))
    assert ridges(C, v, 0.1) == pytest.approx(ridges(C[copies], ones, 0.1))
    weighted, value, _ = sweep(Z, C, v, X, 0.7, 0.3)
    repeated, repeated_value, _ = sweep(Z[copies], C[copies], ones, X, 0.7, 0.3)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-8, atol=1e-10)
    assert value == pytest.approx(repeated_value, rel=1e-10)


def test_row_weight_leaves_the_fold_in_of_the_row_alone():
    """Its factors in training are those that prediction would give it, where it has no weight."""
    Z, C, v, X = random_problem()
    v = v + 0.5
    _, ridge_y = ridges(C, v, 0.05)
    Y = slow_fold_in(Z, C, X, ridge_y)
    value = reconstruction(Z, C, v, X, Y, 0.05)
    moved = Y + 0.01 * np.random.default_rng(0).standard_normal(Y.shape)
    assert value < reconstruction(Z, C, v, X, moved, 0.05)


def test_numbers_in_missing_cells_do_not_matter():
    Z, C, v, X = random_problem()
    other = np.where(C > 0, Z, 1e6)
    np.testing.assert_array_equal(fold_in(Z, C, X, 0.3), fold_in(other, C, X, 0.3))
    np.testing.assert_array_equal(
        sweep(Z, C, v, X, 0.7, 0.3)[0], sweep(other, C, v, X, 0.7, 0.3)[0]
    )


def test_row_without_predictions_gets_zero_factors():
    Z, C, _, X = random_problem()
    C[3] = 0.0
    assert not fold_in(Z, C, X, 0.3)[3].any()


@pytest.mark.parametrize("n", [60, 2500])  # one block and three
def test_shared_confidence_is_the_broadcast_one(n):
    """C of shape (m,) takes the path with one factorisation for all rows; the answer is the
    same.
    """
    Z, _, v, X = random_problem(n=n, missing=0.0)
    c = np.random.default_rng(1).gamma(2.0, size=Z.shape[1])
    C = np.tile(c, (len(Z), 1))
    np.testing.assert_allclose(fold_in(Z, c, X, 0.3), fold_in(Z, C, X, 0.3), rtol=1e-9, atol=1e-12)
    (shared, shared_value, _), (full, full_value, _) = (
        sweep(Z, conf, v, X, 0.7, 0.3) for conf in (c, C)
    )
    np.testing.assert_allclose(shared, full, rtol=1e-7, atol=1e-9)
    assert shared_value == pytest.approx(full_value, rel=1e-10)


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_of_rows_do_not_show(shared):
    """60 rows in blocks of 7, the last one short, against one block."""
    Z, C, v, X = random_problem()
    C = C[0] + 0.5 if shared else C
    np.testing.assert_allclose(
        fold_in(Z, C, X, 0.3, block_rows=7), fold_in(Z, C, X, 0.3), rtol=1e-12, atol=1e-13
    )
    small, small_value, _ = sweep(Z, C, v, X, 0.7, 0.3, block_rows=7)
    large, large_value, _ = sweep(Z, C, v, X, 0.7, 0.3, block_rows=2048)
    np.testing.assert_allclose(small, large, rtol=1e-8, atol=1e-10)
    assert small_value == pytest.approx(large_value, rel=1e-12)


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_blocks_cover_every_row_once_in_order(n, size):
    assert [row for rows in blocks(n, size) for row in range(n)[rows]] == list(range(n))


@pytest.mark.parametrize("storage", ["read-only memmap", "Fortran order", "every second row"])
def test_any_memory_layout_is_read_and_left_alone(storage, tmp_path):
    Z, C, v, X = random_problem()
    expected_Y, (expected_X, expected_value, _) = fold_in(Z, C, X, 0.3), sweep(Z, C, v, X, 0.7, 0.3)
    given = {}
    for name, array in {"Z": Z, "C": C, "v": v, "X": X}.items():
        if storage == "read-only memmap":
            np.save(tmp_path / f"{name}.npy", array)
            given[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        elif storage == "Fortran order":
            given[name] = np.asfortranarray(array)
        else:
            given[name] = np.repeat(array, 2, axis=0)[::2]
        given[name].flags.writeable = False
    np.testing.assert_allclose(
        fold_in(given["Z"], given["C"], given["X"], 0.3), expected_Y, rtol=1e-10, atol=1e-12
    )
    X_new, value, _ = sweep(given["Z"], given["C"], given["v"], given["X"], 0.7, 0.3)
    np.testing.assert_allclose(X_new, expected_X, rtol=1e-7, atol=1e-9)
    assert value == pytest.approx(expected_value, rel=1e-12)


def test_float32_stays_float32_and_loses_only_its_digits():
    Z, C, _, X = random_problem()
    Y = fold_in(*(array.astype(np.float32) for array in (Z, C, X)), np.float32(0.3))
    assert Y.dtype == np.float32
    np.testing.assert_allclose(Y, slow_fold_in(Z, C, X, 0.3), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("d", [4, 12])  # primal and dual
@pytest.mark.parametrize(
    ("lambda_reg", "of_reconstruction", "of_objective"), [(0.01, 3e-5, 1e-5), (1e-4, 1e-3, 1e-3)]
)
def test_float32_loses_no_more_than_the_head_of_the_file_says(
    d, lambda_reg, of_reconstruction, of_objective
):
    """X stays float32 from sweep to sweep; so many rows that sums over blocks in float32 would
    show.
    """
    Z, v = linked_predictions(20_000, 12), np.ones(20_000)
    C = np.random.default_rng(0).uniform(0.0, 2.0, Z.shape)
    C[C < 0.6] = 0.0
    ridge_x, ridge_y = ridges(C, v, lambda_reg)
    X = np.linalg.svd(Z, full_matrices=False)[2][:d].T
    single = [array.astype(np.float32) for array in (Z, C, v, X)]
    for _ in range(5):
        X, before, after = sweep(Z, C, v, X, ridge_x, ridge_y)
        single[-1], *values = sweep(*single, ridge_x, ridge_y)
        np.testing.assert_allclose(values, [before, after], rtol=of_objective)
    assert single[-1].dtype == np.float32
    exact = fold_in(Z, C, X, ridge_y) @ X.T
    found = fold_in(single[0], single[1], single[-1], ridge_y) @ single[-1].T
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() < of_reconstruction * np.abs(exact).max()


@pytest.mark.parametrize("single", ["Z", "X"])
def test_one_array_in_float64_makes_the_factors_float64(single):
    Z, C, _, X = random_problem()
    Z, X = (Z.astype(np.float32), X) if single == "Z" else (Z, X.astype(np.float32))
    Y = fold_in(Z, C, X, 0.3)
    assert Y.dtype == np.float64
    np.testing.assert_allclose(
        Y, slow_fold_in(Z.astype(float), C, X.astype(float), 0.3), rtol=1e-4, atol=1e-6
    )


def test_balance_equalises_both_penalties_and_keeps_every_reconstruction():
    Z, C, v, X = random_problem()
    Y = slow_fold_in(Z, C, X, 0.3)
    balanced = balance(X, Y.T @ (v[:, None] * Y), 0.7, 0.3)
    T = np.linalg.lstsq(X, balanced, rcond=None)[0]
    Y_balanced = Y @ np.linalg.inv(T).T
    np.testing.assert_allclose(X @ T, balanced, atol=1e-10)
    np.testing.assert_allclose(Y_balanced @ balanced.T, Y @ X.T, atol=1e-9)
    P, Q = 0.7 * balanced.T @ balanced, 0.3 * Y_balanced.T @ (v[:, None] * Y_balanced)
    np.testing.assert_allclose(P, Q, atol=1e-8)
    np.testing.assert_allclose(P, np.diag(np.diag(P)), atol=1e-8)
    assert np.all(np.diff(np.diag(P)) <= 0)
    assert np.trace(P) + np.trace(Q) < 0.7 * np.sum(X**2) + 0.3 * v @ np.sum(Y**2, axis=1)
    assert np.all(balanced[np.abs(balanced).argmax(axis=0), np.arange(balanced.shape[1])] > 0)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_balanced_columns_are_positive_where_they_are_largest_and_do_not_depend_on_the_scale_between_the_factors(
    size,
):
    Z, C, v, X = random_problem()
    Y = slow_fold_in(Z, C, X, 0.3)
    gram = Y.T @ (v[:, None] * Y)
    balanced = balance(size * X, gram / size**2, 0.7, 0.3)
    np.testing.assert_allclose(balanced, balance(-X, gram, 0.7, 0.3), rtol=1e-7, atol=1e-9)
    small = balance(1e-6 * X, 1e-12 * gram, 0.7, 0.3)
    for found in (balanced, small):
        assert np.all(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] > 0)


def test_balance_keeps_lost_directions_at_zero():
    """Rank 2 in 4 columns: the two spare columns are zero, without NaN; all-zero X stays as it
    is.
    """
    Z, C, v, X = random_problem()
    X = X[:, :2] @ np.random.default_rng(1).standard_normal((2, 4))
    Y = slow_fold_in(Z, C, X, 0.3)
    balanced = balance(X, Y.T @ (v[:, None] * Y), 0.7, 0.3)
    assert np.abs(balanced[:, 2:]).max() < 1e-6
    assert np.linalg.matrix_rank(balanced, tol=1e-5) == 2
    np.testing.assert_array_equal(balance(np.zeros((5, 2)), np.eye(2), 0.7, 0.3), np.zeros((5, 2)))


def test_objective_never_rises():
    for seed in range(5):
        Z, C, v, X = random_problem(seed=seed)
        ridge_x, ridge_y = ridges(C, v, 0.01)
        values = []
        for _ in range(40):
            X, before, after = sweep(Z, C, v, X, ridge_x, ridge_y)
            values += before, after
        assert np.all(np.diff(values) <= 1e-12 * values[0])


@pytest.mark.parametrize("seed", range(3))
def test_balanced_sweeps_get_further_in_15_than_plain_als_in_200(seed):
    """Plain ALS moves scale from one side to the other only by lambda a sweep; balancing jumps
    (design, section 9).

    The smaller lambda, the slower it is; from about 0.01 on, 200 plain sweeps converge as well. At
    full rank, the default for so few models, no local minimum blurs the comparison.
    """
    lambda_reg = 1e-3
    Z = linked_predictions(400, 12, seed)
    v = np.ones(len(Z))
    rng = np.random.default_rng(seed)
    start, C = rng.standard_normal((12, 12)), rng.uniform(0.5, 1.5, Z.shape)
    ridge_x, ridge_y = ridges(C, v, lambda_reg)

    X = start
    for _ in range(200):
        Y = batched_ridge(Z, C, X, ridge_y)
        X = batched_ridge(Z.T, C.T, Y, ridge_x)
    plain = reconstruction(Z, C, v, X, batched_ridge(Z, C, X, ridge_y), lambda_reg)

    X = start
    for _ in range(15):
        X, *_ = sweep(Z, C, v, X, ridge_x, ridge_y)
    assert reconstruction(Z, C, v, X, fold_in(Z, C, X, ridge_y), lambda_reg) <= plain


def batched_ridge(Z, C, X, ridge):
    """`slow_fold_in` without its loop, because plain ALS needs hundreds of sweeps."""
    left = np.einsum("iu,uk,ul->ikl", C, X, X) + ridge * np.eye(X.shape[1])
    return np.linalg.solve(left, ((C * Z) @ X)[:, :, None])[:, :, 0]
