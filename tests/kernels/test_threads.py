"""Who gets how many threads, and that nothing else depends on it."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from cfens_stack.kernels import compiled, ridge
from cfens_stack.kernels.blocks import allowed_threads, over_chunks
from cfens_stack.kernels.ridge import fold_in, sweep_sums


@pytest.mark.parametrize("backend", [None, "threading"])
def test_threads_are_those_of_the_configuration(backend):
    assert allowed_threads() == 1
    with parallel_config(backend, n_jobs=2) if backend else parallel_config(n_jobs=2):
        assert allowed_threads() == 2


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_of_a_parallel_call_get_one_each(backend):
    with parallel_config(backend, n_jobs=2):
        assert Parallel()(delayed(allowed_threads)() for _ in range(2)) == [1, 1]


def test_the_workers_of_a_cluster_do_not_count():
    """In a worker Dask's backend is the active one again, with the n_jobs of all of them."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster), parallel_config("dask"):
        assert effective_n_jobs(None) == 2
        assert allowed_threads() == 1
        assert Parallel()(delayed(allowed_threads)() for _ in range(2)) == [1, 1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_order_from_as_many_threads(n_jobs):
    together = threading.Barrier(n_jobs, timeout=30)

    def work(chunk):
        if chunk < 2:
            together.wait()  # passed only by as many threads at once
        return chunk, threading.current_thread()

    with parallel_config(n_jobs=n_jobs):
        chunks, workers = zip(*over_chunks(work, range(10)), strict=True)
    assert chunks == tuple(range(10))
    assert len(set(workers)) == n_jobs


def test_an_error_in_a_thread_is_raised():
    def work(chunk):
        raise ValueError(f"chunk {chunk}")

    with parallel_config(n_jobs=2), pytest.raises(ValueError, match="chunk 0"):
        list(over_chunks(work, range(10)))


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
def test_sums_and_factors_are_the_same_to_the_last_bit(monkeypatch):
    monkeypatch.setattr(compiled, "COMPILED_FROM", 0)
    rng = np.random.default_rng(0)
    n, m, d = 3 * ridge.COMPILED_ROWS + 5, 6, 3
    Z, C, v, X = (
        rng.standard_normal((n, m)),
        rng.random((n, m)),
        np.ones(n),
        rng.standard_normal((m, d)),
    )
    alone = [fold_in(Z, C, X, 0.3), *sweep_sums(Z, C, v, X, 0.3)]
    with parallel_config(n_jobs=2):
        together = [fold_in(Z, C, X, 0.3), *sweep_sums(Z, C, v, X, 0.3)]
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)
