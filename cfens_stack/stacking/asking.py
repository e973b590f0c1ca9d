"""Predictions of base models that are fitted already: of new rows, and of all rows where the models
come fitted.
"""

from time import perf_counter

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from cfens_stack.stacking.base_predictions import Predictions, predictions_of
from cfens_stack.stacking.failures import FitFailure, failure_of
from cfens_stack.stacking.fits import Fit
from cfens_stack.stacking.tables import own_copy
from cfens_stack.stacking.threads import limited_blas, threads_of_each
from cfens_stack.validation import UNLABELLED


def ask_each(models, X, labels, n_jobs):
    """Predictions of fitted models for the rows of X, several models at once in threads.

    Parameters
    ----------
    models : dict of str to estimator
    labels : ndarray of shape (K,)
        What the models were fitted on, in the order of the classes.
    n_jobs : int or None

    Returns
    -------
    outcomes : dict of str to Fit or FitFailure
    """
    n_threads = threads_of_each(n_jobs, len(models))
    if n_threads is None:
        outcomes = [_ask(name, model, X, labels) for name, model in models.items()]
    else:
        with limited_blas(n_threads):
            outcomes = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(_ask)(name, model, X, labels) for name, model in models.items()
            )
    return dict(zip(models, outcomes, strict=True))


def ask_in_time(models, X, labels, time_limit):
    """The same one after another, in the order given: none is asked after `time_limit` seconds,
    unless all before it failed.
    """
    start = perf_counter()
    outcomes: dict[str, Fit | FitFailure] = {}
    for name, model in models.items():
        answered = any(isinstance(outcome, Fit) for outcome in outcomes.values())
        if answered and perf_counter() - start >= time_limit:
            break
        outcomes[name] = _ask(name, model, X, labels)
    return outcomes


def _ask(name, model, X, labels):
    start = perf_counter()
    try:
        predictions = predictions_of(model, own_copy(X), labels)
    except Exception as error:
        return failure_of(name, None, error)
    return Fit(predictions, model, predict_seconds=perf_counter() - start)


def prefit_outcomes(models, X, y, splits, labels, n_jobs):
    """Outcomes as of fits, of models that are fitted: every row is held out.

    The folds matter to raw scores only, whose Platt map is learnt from the other folds' rows.

    Parameters
    ----------
    models : dict of str to estimator
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    splits : list of (train, test)
    labels : ndarray of shape (K,)
    n_jobs : int or None

    Returns
    -------
    outcomes : list of Fit or FitFailure
        Model by model: one for each fold, then the final one.
    """
    outcomes: list[Fit | FitFailure] = []
    unlabelled = np.flatnonzero(y == UNLABELLED)
    for outcome in ask_each(models, X, labels, n_jobs).values():
        if isinstance(outcome, FitFailure):
            outcomes += [outcome] * (len(splits) + 1)
            continue
        values, are_probabilities = (
            outcome.predictions.values,
            outcome.predictions.are_probabilities,
        )
        folds = [Fit(Predictions(values[test], are_probabilities), None) for _, test in splits]
        last = Predictions(values[unlabelled], are_probabilities) if len(unlabelled) else None
        outcomes += [*folds, Fit(last, outcome.estimator, 0.0, outcome.predict_seconds)]
    return outcomes
