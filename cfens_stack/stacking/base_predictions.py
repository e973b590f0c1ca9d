"""What a fitted base model says about rows: class probabilities, or scores that a Platt map turns
into probabilities.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression

from cfens_stack.ensemble.layout import SUM_TOLERANCE
from cfens_stack.validation import filled


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model.

    Probabilities: `values` has a column per class, for two classes only that of the second class. Raw
    scores, which still need a Platt map: one column, or one per class or pair of classes.
    """

    values: np.ndarray
    are_probabilities: bool


def predictions_of(model, X, labels):
    """Predictions of a model that was fitted on `labels`, which stand in the order of the classes:
    the class codes, or for a model that was fitted elsewhere the labels themselves.

    The first that the model has of `predict_proba`, `decision_function` and `predict`. The last two
    give raw scores; hard labels become 0/1 columns, and a regressor's prediction of the code is one
    score.

    Raises
    ------
    ValueError
        If the model returns a wrong shape, probabilities that do not sum to 1 or labels it was
        never given, or knows one class only.
    """
    if hasattr(model, "predict_proba"):
        classes = getattr(model, "classes_", labels)
        probabilities = _in_order(model.predict_proba(X), classes)
        return Predictions(probability_columns(probabilities, classes, X.shape[0], labels), True)
    method = "decision_function" if hasattr(model, "decision_function") else "predict"
    values = np.asarray(filled(getattr(model, method)(X)))
    if method == "predict" and not is_regressor(model):
        values = _one_hot(values, labels)
    if values.ndim not in (1, 2) or len(values) != X.shape[0]:
        raise ValueError(f"{method} returned shape {values.shape} for {X.shape[0]} rows")
    return Predictions(values.astype(np.float64, copy=False).reshape(len(values), -1), False)


def _in_order(probabilities, classes):
    """Probabilities with masked cells missing, and the columns of a frame that names the classes in
    the order of `classes`.
    """
    names = list(getattr(probabilities, "columns", []))
    if set(names) == set(classes) and len(names) == len(classes):
        return probabilities[list(classes)]
    return filled(probabilities)


def probability_columns(probabilities, classes, n_rows, labels):
    """Columns of the prediction matrix from the output of predict_proba; NaN for a class that the
    model never saw.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (n_rows, len(classes)):
        raise ValueError(
            f"predict_proba returned shape {probabilities.shape}, but {n_rows} rows and "
            f"{len(classes)} classes make {(n_rows, len(classes))}"
        )
    codes = codes_of(classes, labels)
    if codes is None:
        raise ValueError(f"its classes_ are {list(classes)}, not among the {_named(labels)}")
    if len(classes) < 2:
        raise ValueError("its training rows hold only one class")
    _check_sums(probabilities)
    if len(labels) == 2:
        return probabilities[:, codes == 1]
    columns = np.full((n_rows, len(labels)), np.nan)
    columns[:, codes] = probabilities
    return columns


def _check_sums(probabilities):
    """Refuse rows, but those with missing values, that are no probabilities: negative, or with
    another sum than 1.
    """
    finite = np.isfinite(probabilities).all(axis=1)
    sums = np.where(finite[:, None], probabilities, 0.5).sum(axis=1)
    wrong = finite & (
        (probabilities < -SUM_TOLERANCE).any(axis=1) | (np.abs(sums - 1.0) > SUM_TOLERANCE)
    )
    if wrong.any():
        first = np.array2string(
            probabilities[wrong.argmax()], precision=3, separator=", ", threshold=6
        )
        raise ValueError(
            f"predict_proba returned rows that are negative or do not sum to 1, {wrong.sum()} of "
            f"{len(wrong)}, the first of them {first}; CalibratedClassifierCV around the model "
            "makes probabilities of them"
        )


def codes_of(given, labels):
    """Places of labels among the sorted `labels`: ndarray of int; None if one is not there."""
    given = np.asarray(given)
    if given.dtype == object:
        given = np.asarray(given.tolist())
    if (given.dtype.kind in "US") != (labels.dtype.kind in "US"):
        return None  # numpy before 1.25 does not compare text with numbers
    if not np.isin(given, labels).all():
        return None
    return np.searchsorted(labels, given)


def _named(labels):
    """The labels in words for a message."""
    if np.array_equal(labels, np.arange(len(labels))):
        return f"codes 0 to {len(labels) - 1}"
    return f"classes {labels.tolist()}"


def _one_hot(predicted, labels):
    """Hard labels as raw scores, so that the Platt map turns them into how often each label is
    right.
    """
    codes = codes_of(predicted, labels) if predicted.ndim == 1 else None
    if codes is None:
        raise ValueError(
            f"predict returned something else than one of the {_named(labels)} for each row"
        )
    hot = (codes[:, None] == np.arange(len(labels))).astype(np.float64)
    return hot[:, 1:] if len(labels) == 2 else hot


def fit_platt_map(scores, y, sample_weight):
    """Map from raw scores to probabilities: logistic regression on the standardised scores, nearly
    unpenalised.

    For one column this is Platt's sigmoid. C = 10 had a mean log loss of .2145 over 16 KEEL sets
    and three linear models (scikit-learn's smoothed-target sigmoid .2156, C = 1 .2180, the bare
    sigmoid .3699).

    Parameters
    ----------
    scores : ndarray of shape (n, q)
    y : ndarray of shape (n,)
        Class codes.
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    calibrator : LogisticRegression
        It takes the scores as they are.

    References
    ----------
    J. Platt (1999), "Probabilistic outputs for support vector machines".
    """
    if len(np.unique(y)) < 2:
        raise ValueError(
            "no out-of-fold scores of two classes to learn the calibration of its scores from; "
            "CalibratedClassifierCV around the model would calibrate inside each fold"
        )
    mean = np.average(scores, axis=0, weights=sample_weight)
    scale = np.sqrt(np.average((scores - mean) ** 2, axis=0, weights=sample_weight))
    scale[scale == 0] = 1.0
    calibrator = LogisticRegression(C=10.0, max_iter=1000)
    calibrator.fit((scores - mean) / scale, y, sample_weight=sample_weight)
    calibrator.coef_ /= scale
    calibrator.intercept_ -= calibrator.coef_ @ mean
    return calibrator


def apply_platt_map(calibrator, scores, n_classes):
    """Probability columns of raw scores; NaN in rows whose score is not finite."""
    usable = np.isfinite(scores).all(axis=1)
    probabilities = np.full((len(scores), len(calibrator.classes_)), np.nan)
    if usable.any():
        probabilities[usable] = calibrator.predict_proba(scores[usable])
    return probability_columns(
        probabilities, calibrator.classes_, len(scores), np.arange(n_classes)
    )


def as_probabilities(predictions, calibrator, n_classes):
    """Probability columns of a model's `Predictions`."""
    return (
        predictions.values
        if predictions.are_probabilities
        else apply_platt_map(calibrator, predictions.values, n_classes)
    )
