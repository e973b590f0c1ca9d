"""Chunks of rows on as many threads as `joblib.parallel_config` allows, for functions that hold no lock of Python."""

from concurrent.futures import ThreadPoolExecutor

from joblib import effective_n_jobs
from joblib.parallel import LokyBackend, MultiprocessingBackend, ThreadingBackend, get_active_backend

ON_THIS_MACHINE = (LokyBackend, MultiprocessingBackend, ThreadingBackend)


def over_chunks(function, chunks):
    """function(chunk) of each chunk, in order, so that sums do not depend on the number of threads."""
    n_threads = min(allowed_threads(), len(chunks) // 2)  # for one chunk each, starting them costs more than they give
    if n_threads < 2:
        yield from map(function, chunks)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(function, chunks)


def allowed_threads():
    """n_jobs of `joblib.parallel_config` around the caller; 1 without it, and in the workers of a parallel call.

    Not joblib's own threads: it takes them only where its backend is "threading", and looks for results every 10 ms.
    Other backends, such as Dask's, count the workers of a cluster, of which this may be one.
    """
    backend, _ = get_active_backend()
    return effective_n_jobs(None) if isinstance(backend, ON_THIS_MACHINE) else 1
