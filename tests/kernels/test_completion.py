"""Completion of rows under a normal model: against the formulas written out row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from cfens_stack.kernels import compiled
from cfens_stack.kernels import completion as kernel
from cfens_stack.kernels.missing_patterns import second_moments


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def either_kernel(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(compiled, "COMPILED_FROM", 0 if request.param == "numba" else np.inf)


def rows(confidences="one", n=40, m=7, seed=0):
    """Rows with none, some and all cells missing."""
    rng = np.random.default_rng(seed)
    L = rng.standard_normal((m, 3))
    psi = 0.2
    C = (rng.random((n, m)) > 0.4).astype(float)
    C[0], C[1] = 0.0, 1.0
    if confidences == "many":
        C *= rng.uniform(0.3, 2.0, C.shape)
    Z = np.where(C > 0, rng.standard_normal((n, m)), 99.0)
    return Z, C, rng.random(n), L @ L.T + psi * np.eye(m), psi


def conditional(z, c, S, psi):
    """Mean of a complete row given its observed cells, and covariance, by the covariance matrix."""
    o, u = np.flatnonzero(c > 0), np.flatnonzero(c == 0)
    A = S[np.ix_(o, o)] + psi * np.diag(1.0 / c[o] - 1.0)
    mean, V = np.where(c > 0, z, 0.0), np.zeros_like(S)
    across = S[np.ix_(u, o)] @ np.linalg.inv(A)
    mean[u] = across @ z[o]
    V[np.ix_(u, u)] = S[np.ix_(u, u)] - across @ S[np.ix_(o, u)]
    return mean, V


@pytest.mark.parametrize("confidences", ["one", "many"])
def test_each_row_is_completed_by_the_formula(confidences):
    Z, C, v, S, psi = rows(confidences)
    B = np.random.default_rng(1).standard_normal((7, 7))
    B = B @ B.T
    expected = [conditional(z, c, S, psi) for z, c in zip(Z, C, strict=True)]
    assert_allclose(kernel.complete(Z, C, S, psi), [mean for mean, _ in expected], atol=1e-10)
    assert_allclose(kernel.cell_variance(C, S, psi), [np.diag(V) for _, V in expected], atol=1e-10)
    assert_allclose(
        kernel.excess_variance(C, S, psi, B), [np.trace(V @ B) for _, V in expected], atol=1e-9
    )
    moment = sum(w * (np.outer(mean, mean) + V) for w, (mean, V) in zip(v, expected, strict=True))
    assert_allclose(kernel.expected_moment(Z, C, v, S, psi), moment, atol=1e-9)


def test_a_complete_row_stays_and_an_empty_one_knows_nothing():
    Z, C, _, S, psi = rows()
    filled = kernel.complete(Z, C, S, psi)
    np.testing.assert_array_equal(filled[1], Z[1])
    np.testing.assert_array_equal(filled[0], 0.0)
    variance = kernel.excess_variance(C, S, psi, S)
    assert variance[1] == 0.0
    assert variance[0] == pytest.approx(np.trace(S @ S))


def test_groups_of_rows_give_the_same_moment():
    """Few patterns: from the second moment of each group, without a pass over the rows."""
    rng = np.random.default_rng(0)
    Z, _, _, S, psi = rows(n=400)
    C = np.ones((400, 7))
    C[100:200, 2:4], C[300:, 0] = 0.0, 0.0
    Z, v = rng.standard_normal(C.shape) * C, rng.random(400)
    groups = second_moments(Z, C, v)
    assert len(groups) == 3
    assert_allclose(
        kernel.expected_moment_of_groups(groups, S, psi),
        kernel.expected_moment(Z, C, v, S, psi),
        atol=1e-9,
    )


def test_an_em_step_does_not_lower_the_likelihood_of_what_is_observed():
    _, C, _, S, psi = rows(n=200)
    rng = np.random.default_rng(2)
    Z = rng.multivariate_normal(np.zeros(7), S, size=200)

    def log_likelihood(S):
        seen = [(z[c > 0], S[np.ix_(c > 0, c > 0)]) for z, c in zip(Z, C, strict=True) if c.any()]
        return sum(multivariate_normal(cov=cov).logpdf(z) for z, cov in seen)

    S, values = np.eye(7), []
    for _ in range(5):
        values.append(log_likelihood(S))
        S = kernel.expected_moment(Z, C, np.ones(200), S, psi) / 200
    assert np.all(np.diff(values) > 0)


def test_pairs_that_were_never_seen_together_have_no_weight():
    Z, C, v, _, _ = rows()
    C[:, 0] = np.where(C[:, 1] > 0, 0.0, 1.0)
    total, weight = kernel.pairwise_moment(Z, C, v)
    assert total[0, 1] == weight[0, 1] == 0.0
    both = (C[:, 2] > 0) & (C[:, 3] > 0)
    assert weight[2, 3] == pytest.approx(v[both].sum())
    assert total[2, 3] == pytest.approx(np.sum(v[both] * Z[both, 2] * Z[both, 3]))
