"""From base models to `BaseModels`: tasks for the fits, their outcomes, the prediction matrix, the
report.
"""

import os

import joblib
import numpy as np
from sklearn.utils.validation import check_memory

from cfens_stack.stacking.asking import prefit_outcomes
from cfens_stack.stacking.cache import code_key
from cfens_stack.stacking.failures import report_fits
from cfens_stack.stacking.fit_runs import run_fits
from cfens_stack.stacking.fits import FitTask, seeded
from cfens_stack.stacking.out_of_fold import fill_matrix
from cfens_stack.validation import UNLABELLED


def fit_base_models(models, X, data, classes, *, prefit, fit_params, seed, settings):
    """Fit base models on every fold and on all rows; or ask them, where they are fitted.

    Parameters
    ----------
    models : list of (str, estimator)
    X : table of n rows
    data : FitData
    classes : ndarray of shape (K,)
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
    on_failure = settings["on_failure"]
    if prefit:
        outcomes = prefit_outcomes(
            dict(models), X, data.y, data.splits, classes, settings["n_jobs"]
        )
    else:
        memory, key = settings["memory"], None
        if memory is not None:
            key = data.key or joblib.hash((X, data.y))
        tasks = _tasks(models, data, fit_params, seed, with_keys=key is not None)
        settings = settings | {"memory": _memory(memory)}
        outcomes = run_fits(tasks, X, data.y, n_classes=len(classes), data_key=key, **settings)
    names = [name for name, _ in models]
    weights = data.metadata["sample_weight"]
    fitted = fill_matrix(names, outcomes, data.splits, data.y, weights, classes)
    report_fits(fitted, len(data.splits), on_failure)
    return fitted


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
