"""The out-of-fold prediction matrix: cross-fitted calibration, the mean over repeats, missing
cells.
"""

import numpy as np

from cfens_stack.stacking.base_models import BaseModels, model_columns, n_columns
from cfens_stack.stacking.base_predictions import apply_platt_map, as_probabilities, fit_platt_map
from cfens_stack.stacking.failures import FitFailure, FitWarning
from cfens_stack.stacking.fits import Fit
from cfens_stack.validation import UNLABELLED


def fill_matrix(names, outcomes, splits, y, sample_weight, classes):
    """The prediction matrix: out of fold where there is a label, by the final model where there is
    none; and what else is left of the fits.

    A model that has no final fit or no out-of-fold prediction is lost: its cells are NaN
    throughout.

    Parameters
    ----------
    names : list of str, length m
    outcomes : list of Fit or FitFailure
        Model by model: one for each fold, then the final fit. Emptied, so that no prediction is
        held twice for long.
    splits : list of (train, test)
    y : ndarray of int, shape (n,)
        Codes of the labels in `classes`, -1 without a label.

    Returns
    -------
    models : BaseModels
    """
    oof = np.empty((len(y), len(names) * n_columns(classes)))
    models = BaseModels(names, [], {}, [], [], {}, {}, oof)
    for name, block in model_columns(oof, names, classes):
        *folds, final = (outcomes.pop(0) for _ in range(len(splits) + 1))
        _note(models, name, [*enumerate(folds), (None, final)])
        calibrator, failed = fill_block(block, name, folds, splits, y, sample_weight, classes)
        models.failures.extend(failed)
        if isinstance(final, FitFailure) and final not in failed:
            models.failures.append(final)
        if isinstance(final, FitFailure) or np.isnan(block).all():
            block[:] = np.nan
            models.estimators.append(None)
            continue
        models.estimators.append(final.estimator)
        if calibrator is not None:
            models.calibrators[name] = calibrator
        if final.predictions is not None:
            values = as_probabilities(final.predictions, calibrator, len(classes))
            block[y == UNLABELLED] = np.where(np.isfinite(values), values, np.nan)
    return models


def _note(models, name, outcomes):
    """Seconds and warnings of a model's fits."""
    fits = [(fold, fit) for fold, fit in outcomes if isinstance(fit, Fit)]
    models.fit_times[name] = sum(fit.fit_seconds for _, fit in fits)
    models.predict_times[name] = sum(fit.predict_seconds for _, fit in fits)
    models.warnings.extend(
        FitWarning(name, fold, category, message)
        for fold, fit in fits
        for category, message in fit.warned
    )


def fill_block(block, name, outcomes, splits, y, sample_weight, classes):
    """Write one model's out-of-fold probabilities into its columns of the matrix.

    Parameters
    ----------
    block : ndarray of shape (n, 1) or (n, n_classes)
        Written; NaN where no fold gave a prediction, the mean over folds where several did.
    outcomes : list of Fit or FitFailure, one per fold
    y : ndarray of shape (n,)
        Codes of the labels in `classes`.

    Returns
    -------
    calibrator : LogisticRegression or None
        The map for the scores of the model fitted on all rows, if the model gives scores.
    failures : list of FitFailure
    """
    lost = [outcome for outcome in outcomes if isinstance(outcome, FitFailure)]
    failures = list(dict.fromkeys(lost))  # one for all folds where the model came fitted
    given = {fold: fit.predictions for fold, fit in enumerate(outcomes) if isinstance(fit, Fit)}
    folds = {fold: predictions.values for fold, predictions in given.items()}
    calibrator = None
    if not all(predictions.are_probabilities for predictions in given.values()):
        folds, calibrator, reasons = _cross_fit_platt_maps(
            folds, splits, y, sample_weight, len(classes)
        )
        failures += [FitFailure(name, fold, reason) for fold, reason in reasons.items()]
    for fold, values in folds.items():
        reason = _complaint(values, y[splits[fold][0]], classes)
        if reason:
            failures.append(FitFailure(name, fold, reason))
    average_into(block, [(splits[fold][1], values) for fold, values in folds.items()])
    if (
        block.shape[1] > 1
    ):  # means over different folds, where one lacked a class, need not sum to 1
        complete = np.isfinite(block).all(axis=1)
        block[complete] /= block[complete].sum(axis=1, keepdims=True)
    return calibrator, failures


def average_into(block, predictions):
    """Mean of the finite predictions of each cell, NaN where there is none; predictions are pairs
    (rows, values).
    """
    counts = np.zeros(block.shape, dtype=np.uint16)
    block[:] = 0.0
    for rows, values in predictions:
        observed = np.isfinite(values)
        block[rows] += np.where(observed, values, 0.0)
        counts[rows] += observed
    with np.errstate(invalid="ignore"):
        block /= counts


def _cross_fit_platt_maps(folds, splits, y, sample_weight, n_classes):
    """Probabilities of each fold by a map learnt from out-of-fold scores of that fold's training
    rows only.

    So no label of a held-out row enters the map that it passes through, and the folds of a time
    series or of groups keep their meaning. The final map, for the model fitted on all rows, is
    learnt from all out-of-fold scores.
    """
    width = max(values.shape[1] for values in folds.values())
    reasons = {
        fold: f"its scores have {values.shape[1]} columns, in other folds {width}: a class is not in its training rows"
        for fold, values in folds.items()
        if values.shape[1] != width
    }
    folds = {fold: values for fold, values in folds.items() if fold not in reasons}
    mean = np.empty((len(y), width))
    average_into(mean, [(splits[fold][1], values) for fold, values in folds.items()])
    scored = np.logical_and.reduce(np.isfinite(mean), axis=1)

    def learn(rows):
        return fit_platt_map(
            mean[rows], y[rows], None if sample_weight is None else sample_weight[rows]
        )

    probabilities = {}
    for fold, values in folds.items():
        train = splits[fold][0]
        try:
            probabilities[fold] = apply_platt_map(learn(train[scored[train]]), values, n_classes)
        except ValueError as error:
            reasons[fold] = str(error)
    return probabilities, learn(scored) if probabilities else None, reasons


def _complaint(values: np.ndarray, y_train: np.ndarray, classes: np.ndarray) -> str:
    """What is missing among a fold's probabilities, in words; empty if nothing is."""
    missing: np.ndarray = ~np.isfinite(values)
    if not missing.any():
        return ""
    unseen = np.setdiff1d(np.arange(len(classes)), y_train)
    if len(classes) > 2 and len(unseen) and not np.delete(missing, unseen, axis=1).any():
        return f"no row of class {', '.join(map(repr, classes[unseen].tolist()))} among its training rows"
    return f"{missing.any(axis=1).sum()} of {len(values)} predictions are NaN or infinite"
