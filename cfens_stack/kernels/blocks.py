"""Blocks of rows, and the threads that work on them.

Kernels read the rows block by block, so that what they make on the way stays small. BLAS keeps to
one thread, because products of blocks are small; blocks themselves may go to as many threads as
`joblib.parallel_config` allows.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from joblib import effective_n_jobs
from joblib.parallel import (
    LokyBackend,
    MultiprocessingBackend,
    ThreadingBackend,
    get_active_backend,
)
from threadpoolctl import ThreadpoolController

BLOCK_ROWS = 1024
ON_THIS_MACHINE = (LokyBackend, MultiprocessingBackend, ThreadingBackend)


def blocks(n, block_rows=BLOCK_ROWS):
    """Slices that cut n rows into blocks."""
    return [slice(start, min(start + block_rows, n)) for start in range(0, n, block_rows)]


def weighted_total(v, function, *arrays):
    """Sum of v_i function(...)_i over rows i, by blocks: nothing as large as the arrays (n, ...) is
    made on the way.
    """
    return sum(v[rows] @ function(*(array[rows] for array in arrays)) for rows in blocks(len(v)))


def over_chunks(function, chunks):
    """function(chunk) of each chunk, in order, so that sums do not depend on the number of
    threads.
    """
    n_threads = min(
        allowed_threads(), len(chunks) // 2
    )  # for one chunk each, starting them costs more than they give
    if n_threads < 2:
        yield from map(function, chunks)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(function, chunks)


def allowed_threads():
    """n_jobs of `joblib.parallel_config` around the caller; 1 without it, and in the workers of a
    parallel call.

    Not joblib's own threads: it takes them only where its backend is "threading", and looks for
    results every 10 ms. Other backends, such as Dask's, count the workers of a cluster, of which
    this may be one.
    """
    backend, _ = get_active_backend()
    return effective_n_jobs(None) if isinstance(backend, ON_THIS_MACHINE) else 1


@contextmanager
def one_blas_thread():
    """Limit BLAS to one thread, and restore what was there; no effect outside the main thread.

    The limit is the process's: threads that set and restored it in turn could leave it behind, and
    OpenBLAS ignores what other threads than the main one ask for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller():
    """Found once: looking for the libraries takes milliseconds."""
    return ThreadpoolController()
