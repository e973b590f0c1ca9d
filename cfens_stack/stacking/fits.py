"""The fit of one base model on one fold: the task, its seed, what comes of it."""

import zlib
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from cfens_stack.processes import end_with
from cfens_stack.stacking.base_predictions import Predictions, predictions_of
from cfens_stack.stacking.caught_warnings import caught_warnings
from cfens_stack.stacking.failures import BaseModelError, failure_of
from cfens_stack.stacking.tables import own_copy
from cfens_stack.stacking.threads import limited_threads


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

    predictions: Predictions | Any  # None if there were no rows to predict
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
            rows = {name: values.copy() for name, values in fit_params.items()}
            estimator.fit(own_copy(X), y.copy(), **rows)
        else:
            rows = {name: _safe_indexing(values, train) for name, values in fit_params.items()}
            estimator.fit(_safe_indexing(X, train), y[train], **rows)
        fitted = perf_counter()
        predictions = None
        if test is not None:
            predictions = predictions_of(estimator, _safe_indexing(X, test), np.arange(n_classes))
        end = perf_counter()
    kept = estimator if keep else None
    return Fit(predictions, kept, fitted - start, end - fitted, tuple(warned))


def attempt(index, task, fit, X, y, raise_failures, main_process, deadline, **settings):
    """Number and outcome of a task, and whether the cache, if there is one, holds it; a model that
    calls sys.exit() fails like one that raises. No outcome (None) where it would start after the
    deadline, in seconds of `time.time`.
    """
    end_with(main_process)
    keep = task.fold is None
    arguments = (task.estimator, X, y, task.train, task.test, task.fit_params, keep)
    settings |= {"code_key": task.code_key}
    is_stored = getattr(fit, "check_call_in_cache", None) or (lambda *_, **__: True)
    if deadline is not None and time() > deadline and not is_stored(*arguments, **settings):
        return index, None, True
    try:
        outcome = fit(*arguments, **settings)
    except (Exception, SystemExit) as error:
        failure = failure_of(task.model, task.fold, error)
        if raise_failures:
            raise BaseModelError(f"{failure} (on_failure='raise')") from error
        return index, failure, True
    return index, outcome, is_stored(*arguments, **settings)
