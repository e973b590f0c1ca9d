"""Fits of the base models: one flat list of (model, fold) tasks on joblib, which survives models
that do not.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from joblib.parallel import get_active_backend
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from cfens_stack.processes import end_with
from cfens_stack.stacking.base_predictions import Scores, predict_scores
from cfens_stack.stacking.cache import cached, remove_unfinished
from cfens_stack.stacking.caught_warnings import caught_warnings, told_apart_by_thread
from cfens_stack.stacking.failures import BaseModelError, FitFailure, failure_of, where
from cfens_stack.stacking.threads import limited_blas, limited_threads, threads_of_each


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
    code_key: str | None = None  # for the cache


@dataclass(frozen=True)
class Fit:
    """Outcome of a task that succeeded: predictions of its test rows, and the model if it is
    kept.

    Seconds and warnings are those of the run that computed it, from the cache too.
    """

    scores: Scores | Any  # None if there were no rows to predict
    estimator: Any | None
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    warned: tuple[tuple[str, str], ...] = ()  # category and message of each


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


def fit_and_predict(
    estimator, X, y, train, test, fit_params, keep, n_classes, n_threads, data_key, code_key
):
    """Carry out a task. Cached by joblib under all arguments but X, y and n_threads; data_key
    stands for the data, code_key for what the classes of the models do.
    """
    with limited_threads(estimator, n_threads), caught_warnings() as warned:
        start = perf_counter()
        if train is None:
            estimator.fit(X, y, **fit_params)
        else:
            rows = {name: _safe_indexing(values, train) for name, values in fit_params.items()}
            estimator.fit(_safe_indexing(X, train), y[train], **rows)
        fitted = perf_counter()
        scores = None
        if test is not None:
            scores = predict_scores(estimator, _safe_indexing(X, test), np.arange(n_classes))
        end = perf_counter()
    return Fit(scores, estimator if keep else None, fitted - start, end - fitted, tuple(warned))


def _attempt(index, task, fit, X, y, raise_failures, main_process, **settings):
    """Number and outcome of a task, and whether the cache, if there is one, holds it; a model that
    calls sys.exit() fails like one that raises.
    """
    end_with(main_process)
    keep = task.fold is None
    arguments = (task.estimator, X, y, task.train, task.test, task.fit_params, keep)
    settings |= {"code_key": task.code_key}
    try:
        outcome = fit(*arguments, **settings)
    except (Exception, SystemExit) as error:
        failure = failure_of(task.model, task.fold, error)
        if raise_failures:
            raise BaseModelError(f"{failure} (on_failure='raise')") from error
        return index, failure, True
    look_up = getattr(fit, "check_call_in_cache", None)
    return index, outcome, look_up is None or look_up(*arguments, **settings)


def run_fits(tasks, X, y, *, memory, n_jobs, on_failure, progress, **settings):
    """Outcomes of the tasks, in their order.

    One parallel call carries all tasks. When it breaks down (a worker died, a model cannot be sent
    to another process), the tasks that were on their way are tried again one at a time, so that
    only the guilty one is lost; then the rest goes on in parallel.

    Returns
    -------
    outcomes : list of Fit or FitFailure
    """
    n_threads = threads_of_each(n_jobs, len(tasks))
    fit = cached(fit_and_predict, memory, ignore=["X", "y", "n_threads"])
    settings |= {
        "fit": fit,
        "X": X,
        "y": y,
        "raise_failures": on_failure == "raise",
        "main_process": os.getpid(),
        "n_threads": n_threads,
    }
    outcomes: dict[int, Fit | FitFailure] = {}
    with (
        _progress_bar(len(tasks), progress) as advance,
        limited_blas(n_threads),
        told_apart_by_thread(),
        _without_unfinished(fit) as unstored,
    ):

        def run(indices):
            return _run(indices, tasks, outcomes, unstored, advance, n_jobs, settings)

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


def _run(indices, tasks, outcomes, unstored, advance, n_jobs, settings):
    """Run tasks in parallel and note their outcomes, and which the cache does not hold; if that
    breaks down, return the tasks on their way and the error.
    """
    started = set()

    def jobs():
        for i in indices:
            started.add(i)
            yield delayed(_attempt)(i, tasks[i], **settings)

    try:
        for index, outcome, stored in Parallel(n_jobs=n_jobs, return_as=_return_as())(jobs()):
            outcomes[index] = outcome
            if not stored:
                unstored.append(index)
            advance()
    except BaseModelError:
        raise
    except Exception as error:
        suspects = sorted(started - outcomes.keys())
        if not suspects:
            raise
        return suspects, error
    return [], None


@contextmanager
def _without_unfinished(fit):
    """A list for the tasks whose outcome the cache could not store; what was left of them is
    removed in the end, and after an interruption.
    """
    unstored: list[int] = []
    try:
        yield unstored
    except BaseException:
        remove_unfinished(fit)
        raise
    if unstored:
        remove_unfinished(fit)


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


@contextmanager
def _progress_bar(total: int, show: bool) -> Iterator[Callable[[], Any]]:
    if not show:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="base-model fits", unit="fit") as bar:
        yield bar.update
