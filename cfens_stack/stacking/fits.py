"""Fits of the base models: one flat list of (model, fold) tasks on joblib, which survives models
that do not.
"""

import inspect
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count, effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from cfens_stack.processes import end_with
from cfens_stack.stacking.base_predictions import Scores, predict_scores
from cfens_stack.stacking.failures import BaseModelError, FitFailure, failure_of, where


@dataclass(frozen=True)
class FitTask:
    """Fit `estimator` on the rows `train` (None: all), predict the rows `test` (None: none).

    fold None stands for the model that predicts new rows, which is kept.
    """

    model: str
    fold: int | None
    estimator: Any
    train: np.ndarray | None
    test: np.ndarray | None
    fit_params: dict[str, np.ndarray]


@dataclass(frozen=True)
class Fit:
    """Outcome of a task that succeeded: predictions of its test rows, and the model if it is
    kept.
    """

    scores: Scores | Any  # None if there were no rows to predict
    estimator: Any | None


def seeded(estimator, root_seed, name, fold):
    """Clone with every `random_state` that is None set from (root_seed, name, fold).

    The name, not the position, enters: adding or removing a model leaves the others' predictions as
    they were.
    """
    estimator = clone(estimator)
    unset = sorted(
        key
        for key, value in estimator.get_params(deep=True).items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    )
    fold_key = 0 if fold is None else fold + 1
    generator = np.random.default_rng([root_seed, zlib.crc32(name.encode()), fold_key])
    return (
        estimator.set_params(**{key: int(generator.integers(2**31 - 1)) for key in unset})
        if unset
        else estimator
    )


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


def fit_and_predict(estimator, X, y, train, test, fit_params, keep, n_classes, n_threads, data_key):
    """Carry out a task. Cached by joblib under all arguments but X, y and n_threads; data_key
    stands for the data.
    """
    with limited_threads(estimator, n_threads):
        if train is None:
            estimator.fit(X, y, **fit_params)
        else:
            rows = {name: _safe_indexing(values, train) for name, values in fit_params.items()}
            estimator.fit(_safe_indexing(X, train), y[train], **rows)
        scores = (
            None if test is None else predict_scores(estimator, _safe_indexing(X, test), n_classes)
        )
    return Fit(scores, estimator if keep else None)


def _attempt(index, task, fit, X, y, raise_failures, main_process, **settings):
    """Outcome of a task, with its number and process; a model that calls sys.exit() fails like one
    that raises.
    """
    end_with(main_process)
    try:
        keep = task.fold is None
        outcome = fit(
            task.estimator, X, y, task.train, task.test, task.fit_params, keep, **settings
        )
        return index, outcome, os.getpid()
    except (Exception, SystemExit) as error:
        failure = failure_of(task.model, task.fold, error)
        if raise_failures:
            raise BaseModelError(f"{failure} (on_failure='raise')") from error
        return index, failure, os.getpid()


def run_fits(tasks, X, y, *, memory, n_jobs, on_failure, progress, **settings):
    """Outcomes of the tasks, in their order.

    One parallel call carries all tasks. When it breaks down (a worker died, a model cannot be sent
    to another process), the tasks that were on their way are tried again one at a time, so that
    only the guilty one is lost; then the rest goes on in parallel.

    Returns
    -------
    outcomes : list of Fit or FitFailure
    """
    n_parallel = min(effective_n_jobs(n_jobs), len(tasks))
    n_threads = None if n_parallel == 1 else max(1, cpu_count() // n_parallel)
    fit = _cached(memory)
    settings |= {
        "fit": fit,
        "X": X,
        "y": y,
        "raise_failures": on_failure == "raise",
        "main_process": os.getpid(),
        "n_threads": n_threads,
    }
    outcomes: dict[int, Fit | FitFailure] = {}
    processes = {os.getpid()}
    tidied = _without_unfinished(fit, processes)
    with _progress_bar(len(tasks), progress) as advance, _blas_threads(n_threads), tidied:

        def run(indices):
            return _run(indices, tasks, outcomes, processes, advance, n_jobs, settings)

        pending = list(range(len(tasks)))
        while pending:
            suspects, error = run(pending)
            if error is not None and on_failure == "raise":
                raise BaseModelError(_breakdown(error, [tasks[i] for i in suspects])) from error
            for suspect in suspects:
                _, error = run([suspect])
                if error is not None:
                    outcomes[suspect] = failure_of(tasks[suspect].model, tasks[suspect].fold, error)
                    advance()
            pending = [i for i in pending if i not in outcomes]
    return [outcomes[i] for i in range(len(tasks))]


def _run(indices, tasks, outcomes, processes, advance, n_jobs, settings):
    """Run tasks in parallel and note their outcomes; if that breaks down, the tasks on their way
    and the error.
    """
    started = set()

    def jobs():
        for i in indices:
            started.add(i)
            yield delayed(_attempt)(i, tasks[i], **settings)

    try:
        for index, outcome, process in Parallel(n_jobs=n_jobs, return_as=_return_as())(jobs()):
            outcomes[index] = outcome
            processes.add(process)
            advance()
    except BaseModelError:
        raise
    except Exception as error:
        suspects = sorted(started - outcomes.keys())
        if not suspects:
            raise
        return suspects, error
    return [], None


def _cached(memory):
    """fit_and_predict behind the cache. Looking up nothing lets joblib note its source before
    several workers do.
    """
    fit = memory.cache(fit_and_predict, ignore=["X", "y", "n_threads"])
    if hasattr(fit, "check_call_in_cache"):
        fit.check_call_in_cache(**dict.fromkeys(inspect.signature(fit_and_predict).parameters))
    return fit


@contextmanager
def _without_unfinished(fit, processes):
    """Afterwards remove results that these processes could not store whole, on a full disk; joblib
    leaves them.
    """
    try:
        yield
    finally:
        if hasattr(fit, "store_backend"):
            for path in Path(fit.store_backend.location, fit.func_id).glob("*/output.pkl.*"):
                if {str(process) for process in processes} & set(re.split(r"[.-]", path.name)):
                    path.unlink(missing_ok=True)


def _breakdown(error, suspects):
    fits = "; ".join(f"{task.model!r}, {where(task.fold)}" for task in suspects)
    return (
        f"The parallel run broke down with {type(error).__name__} during one of these fits: "
        f"{fits}. on_failure='warn' finds the one that is to blame and goes on without it."
    )


def _return_as():
    """Results as they come where the backend can, so that a breakdown loses none that arrived."""
    backend, _ = get_active_backend()
    return "generator_unordered" if getattr(backend, "supports_return_generator", False) else "list"


def _blas_threads(n_threads):
    """BLAS limits are global to a process: tasks in threads would restore each other's, so the
    caller sets them.
    """
    return nullcontext() if n_threads is None else threadpool_limits(n_threads, user_api="blas")


@contextmanager
def _progress_bar(total: int, show: bool) -> Iterator[Callable[[], Any]]:
    if not show:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="base-model fits", unit="fit") as bar:
        yield bar.update
