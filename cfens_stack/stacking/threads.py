"""Threads of base models: n_jobs, BLAS and OpenMP held at a fit's share of the cores."""

from contextlib import contextmanager, nullcontext

from joblib import cpu_count, effective_n_jobs
from threadpoolctl import threadpool_limits


def threads_of_each(n_jobs, n_tasks):
    """Threads for each of the tasks that run at once; None where one runs alone and may have all.

    Parameters
    ----------
    n_jobs : int or None
    n_tasks : int
    """
    n_parallel = min(effective_n_jobs(n_jobs), n_tasks)
    return None if n_parallel <= 1 else max(1, cpu_count() // n_parallel)


@contextmanager
def limited_threads(estimator, n_threads):
    """Hold the estimator's own threads (n_jobs, BLAS, OpenMP) at n_threads; None leaves them alone.

    An `n_jobs` of None means one job in scikit-learn, but every core in LightGBM and XGBoost.
    """
    if n_threads is None:
        yield
        return
    parameters = estimator.get_params(deep=True).values()
    parts = [
        estimator,
        *(
            part
            for part in parameters
            if hasattr(part, "get_params") and not isinstance(part, type)
        ),
    ]
    changed = []
    for part in parts:
        n_jobs = part.get_params(deep=False).get("n_jobs", 1)
        all_cores = n_jobs is None and not type(part).__module__.startswith("sklearn.")
        if all_cores or (n_jobs is not None and not 0 < n_jobs <= n_threads):
            part.set_params(n_jobs=n_threads)
            changed.append((part, n_jobs))
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        for part, n_jobs in changed:
            part.set_params(n_jobs=n_jobs)


def limited_blas(n_threads):
    """BLAS limits are global to a process: tasks in threads would restore each other's, so the
    caller sets them.
    """
    return nullcontext() if n_threads is None else threadpool_limits(n_threads, user_api="blas")
