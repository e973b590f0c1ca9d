"""The compiled passes of the logistic loss against their twins in numpy, which the tests of the
ensemble hold against finite differences.
"""

import numpy as np
import pytest
from joblib import parallel_config

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.calibration import sigmoid_sums
from cfens_stack.ensemble.losses import loss_sums
from cfens_stack.kernels import logistic

pytest.importorskip("numba")


def both_ways(monkeypatch, function):
    """What function() returns on numpy, and compiled."""
    found = []
    for compiled_from in (np.inf, 0):
        monkeypatch.setattr(logistic, "COMPILED_FROM", compiled_from)
        found.append(function())
    return found


def assert_close(sums):
    for slow, fast in zip(*sums, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-10, atol=1e-10 * np.abs(slow).max() + 1e-300)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 2000.0])
@pytest.mark.parametrize(("n", "q"), [(1, 1), (7, 3), (1024, 5), (2500, 21), (40_000, 4)])
def test_joint_sums(n, q, size, monkeypatch):
    """Also in the tails, where exp underflows, and in a last block that is not full."""
    rng = np.random.default_rng(n + q)
    Y, V = rng.standard_normal((n, q)), size * rng.standard_normal((q, 1))
    y, s = rng.integers(0, 2, n).astype(np.int32), rng.gamma(2.0, size=n) * (rng.random(n) > 0.1)
    assert_close(both_ways(monkeypatch, lambda: loss_sums(V, Y, y, s, 0.0)))


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 2000.0])
@pytest.mark.parametrize(("n", "q"), [(1, 1), (7, 3), (900, 5), (2500, 20), (40_000, 2)])
def test_column_sums(n, q, size, monkeypatch):
    """Cells that are not observed count for nothing, whatever they hold."""
    rng = np.random.default_rng(n + q)
    observed = rng.random((n, q)) < 0.8
    Z = np.where(observed, rng.standard_normal((n, q)), 99.0)
    a, b = size * rng.standard_normal((2, q))
    v = rng.gamma(2.0, size=n)
    for seen in (observed, None):
        slow, fast = both_ways(monkeypatch, lambda seen=seen: sigmoid_sums(a, b, Z, seen, v))
        # Probabilities near 0 keep no more digits than those near 1.
        np.testing.assert_allclose(fast, slow, rtol=1e-10, atol=1e-13 * v.sum())


def test_rows_may_be_strided(monkeypatch):
    rng = np.random.default_rng(0)
    Y, y = rng.standard_normal((900, 8))[::3, ::2], rng.integers(0, 2, 300)
    V = rng.standard_normal((4, 1))
    assert_close(both_ways(monkeypatch, lambda: loss_sums(V, Y, y, np.ones(300), 0.0)))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_fits_are_the_same_either_way(missing, monkeypatch):
    data = make_predictions(3000, 6, missing=missing, weights=[0.9, 0.1], random_state=0)
    slow, fast = both_ways(monkeypatch, lambda: CFEnsemble().fit(data.R, data.y))
    np.testing.assert_allclose(fast.calibration_slopes_, slow.calibration_slopes_, rtol=1e-10)
    np.testing.assert_allclose(fast.coef_, slow.coef_, rtol=1e-8)


def test_sums_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(logistic, "COMPILED_FROM", 0)
    rng = np.random.default_rng(0)
    Y, V, y = rng.standard_normal((70_000, 3)), np.ones((3, 1)), rng.integers(0, 2, 70_000)
    alone = loss_sums(V, Y, y, np.ones(70_000), 0.0)
    with parallel_config(backend="threading", n_jobs=2):
        together = loss_sums(V, Y, y, np.ones(70_000), 0.0)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def test_few_rows_do_not_load_numba():
    assert not logistic.is_compiled(logistic.COMPILED_FROM - 1)
    assert logistic.is_compiled(logistic.COMPILED_FROM)
