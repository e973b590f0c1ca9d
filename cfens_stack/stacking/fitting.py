"""From base models to `BaseModels`: tasks for the fits, their outcomes, the prediction matrix, the
report.
"""

import os
from functools import partial
from time import time

import joblib
import numpy as np
from sklearn.utils.validation import check_memory

from cfens_stack.stacking.asking import prefit_outcomes
from cfens_stack.stacking.cache import code_key
from cfens_stack.stacking.failures import report_fits
from cfens_stack.stacking.fit_runs import run_fits
from cfens_stack.stacking.fits import Fit, FitTask, seeded
from cfens_stack.stacking.out_of_fold import fill_matrix
from cfens_stack.validation import UNLABELLED


def fit_base_models(models, X, data, classes, choose, *, prefit, fit_params, seed, settings):
    """Fit base models on every fold and on all rows; or ask them, where they are fitted.

    Parameters
    ----------
    models : list of (str, estimator)
    X : table of n rows
    data : FitData
    classes : ndarray of shape (K,)
    choose : callable (BaseModels) -> list of str, or None
        Names the models that are to be kept, and fitted on all rows, once the folds are done. None:
        all.
    prefit : bool
    fit_params : dict of str to dict
        What the `fit` of each model gets besides X and y.
    seed : int
    settings : dict
        Parameters of the pipeline: n_jobs, memory, on_failure, progress, time_limit.

    Returns
    -------
    fitted : BaseModels
    """
    names = [name for name, _ in models]
    weights = data.metadata["sample_weight"]

    def filled(names, outcomes):
        return fill_matrix(names, outcomes, data.splits, data.y, weights, classes)

    if prefit:
        outcomes = prefit_outcomes(
            dict(models), X, data.y, data.splits, classes, settings["n_jobs"]
        )
        fitted = filled(names, outcomes)
        fitted = fitted if choose is None else fitted.keep(choose(fitted), classes)
    else:
        memory, key = settings["memory"], None
        if memory is not None:
            key = data.key or joblib.hash((X, data.y))
        tasks = _tasks(models, data, fit_params, seed, with_keys=key is not None)
        run = partial(run_fits, X=X, y=data.y, n_classes=len(classes), data_key=key)
        settings = settings | {"memory": _memory(memory)}
        if choose is None:
            fitted = filled(names, run(tasks, **settings))
        else:
            fitted = filled(*_chosen_outcomes(tasks, names, run, choose, filled, settings))
    report_fits(fitted, len(data.splits), settings["on_failure"])
    return fitted


def _chosen_outcomes(tasks, names, run, choose, filled, settings):
    """Names and outcomes of the models that are kept: all are fitted on the folds, these alone on
    all rows.
    """
    limit, start = settings["time_limit"], time()
    on_folds = [task for task in tasks if task.fold is not None]
    if limit is not None:
        settings = settings | {"time_limit": limit * len(on_folds) / len(tasks)}
    outcomes = run(on_folds, **settings)
    by_model = dict(zip(names, _in_parts(outcomes, len(names)), strict=True))
    later = Fit(None, "to be fitted on all rows")
    kept = choose(filled(names, [part for fits in by_model.values() for part in (*fits, later)]))
    if limit is not None:
        settings = settings | {"time_limit": max(limit - (time() - start), 1e-9)}
    last = run([task for task in tasks if task.fold is None and task.model in kept], **settings)
    return kept, [
        part for name, final in zip(kept, last, strict=True) for part in (*by_model[name], final)
    ]


def _in_parts(values, n_parts):
    """A list cut into parts of the same length."""
    size = len(values) // n_parts
    return [values[part * size : (part + 1) * size] for part in range(n_parts)]


def _memory(memory):
    path_or_cache = memory is None or hasattr(memory, "cache")
    return check_memory(memory if path_or_cache else os.fspath(memory))


def _tasks(models, data, fit_params, seed, with_keys):
    """One task for each model and fold, and one for each model for new rows, which also predicts
    the unlabelled ones.
    """
    unlabelled = np.flatnonzero(data.y == UNLABELLED)
    final = (np.flatnonzero(data.y != UNLABELLED), unlabelled) if len(unlabelled) else (None, None)
    keys = {name: code_key(model) if with_keys else None for name, model in models}
    return [
        FitTask(
            name,
            fold,
            seeded(model, seed, name, fold),
            train,
            test,
            fit_params[name],
            keys[name],
        )
        for name, model in models
        for fold, (train, test) in [*enumerate(data.splits), (None, final)]
    ]
