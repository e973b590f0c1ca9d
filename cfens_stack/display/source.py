"""What the displays share: the fitted ensemble behind an estimator, the predictions that it takes,
names of its columns, matplotlib.
"""

from copy import copy

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from cfens_stack.validation import filled, warn_user

TOLERANCE = 1e-3  # of probabilities: rounding beyond 0 and 1


def ensemble_of(estimator):
    """The fitted `CFEnsemble` or trainer behind a `StackingPipeline` or `CFEnsembleSearch`, and
    names if they say any.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If there is no single ensemble: another meta-learner, or an average of several
        configurations.
    """
    check_is_fitted(estimator)
    names = estimator.get_feature_names_out() if hasattr(estimator, "meta_") else None
    for attribute in ("meta_", "best_estimator_"):
        estimator = getattr(estimator, attribute, estimator)
    if not hasattr(estimator, "classifier_factors_"):
        raise TypeError(
            f"estimator={estimator!r} has no latent factors: pass a fitted CFEnsemble, trainer or "
            "search (with selection='best' or 'one-standard-error'), or a StackingPipeline with "
            "one as its meta-learner."
        )
    return estimator, names


def predictions_for(estimator, X):
    """The fitted ensemble behind an estimator and the prediction matrix that it takes, checked.

    Parameters
    ----------
    estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
    X : array-like of shape (n, p)
        Of a pipeline the features, for which it predicts, or its `oof_`; else predictions.

    Returns
    -------
    ensemble : CFEnsemble or trainer
        Takes R without column names, which have been checked here.
    R : ndarray of shape (n, m)

    Raises
    ------
    ValueError
        If X has another number of columns, other names, or values that are no probabilities though
        the ensemble was fitted on those.
    """
    ensemble, _ = ensemble_of(estimator)
    if hasattr(estimator, "base_predictions"):
        R = X if _holds_predictions(X, estimator) else estimator.base_predictions(X)
        R = np.asarray(filled(R), dtype=np.float64)
    else:
        R = _checked(filled(X), estimator, ensemble)
    _refuse_features(R, ensemble)
    ensemble = copy(ensemble)
    vars(ensemble).pop("feature_names_in_", None)
    return ensemble, R


def _holds_predictions(X, pipeline):
    """Whether X is the `oof_` of a pipeline, or like it, and not the features that are expected.

    By the number of columns; where both have the same, by their names and by the values of `oof_`.
    A warning says so where X may be either.
    """
    if not hasattr(pipeline, "oof_"):  # for_serving() leaves it out
        return False
    m, p = pipeline.oof_.shape[1], pipeline.n_features_in_
    shape = np.shape(X)
    if len(shape) != 2 or shape[1] != m:
        return False
    names = [name for name in getattr(X, "columns", []) if isinstance(name, str)]
    if names:
        return names == list(pipeline.get_feature_names_out())
    if p != m:
        return True
    try:
        values = np.asarray(filled(X)).astype(np.float64)
    except (TypeError, ValueError):
        return False  # text, or a sparse matrix
    if np.array_equal(values, pipeline.oof_, equal_nan=True):
        return True
    if not ((values < 0) | (values > 1)).any():
        warn_user(
            f"X has {m} columns with values in [0, 1], which may be the features of this pipeline "
            "or predictions of its base models. They are taken for features. Pass features: the "
            "display lets the pipeline predict."
        )
    return False


def _checked(R, estimator, ensemble):
    """R as floats, if its columns are those that an ensemble or search was fitted on."""
    shape, m = np.shape(R), ensemble.n_features_in_
    if len(shape) == 2 and shape[1] != m:
        raise ValueError(
            f"The ensemble was fitted on {m} columns of predictions, but got {shape[1]}. Pass the "
            "predictions of the same base models. If these are features, pass a StackingPipeline, "
            "or the predictions that its base_predictions makes of them."
        )
    return validate_data(estimator, R, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)


def _refuse_features(R, ensemble):
    """Predictions of a fit on probabilities stay within [0, 1]; features hardly do."""
    outside = np.abs(R - 0.5) > 0.5 + TOLERANCE
    if ensemble.layout_ != "scores" and outside.any():
        raise ValueError(
            f"The ensemble was fitted on probabilities, but {outside.sum()} cells lie outside "
            f"[0, 1], the first of value {R[outside][0]:g}. Pass the predictions of the base "
            "models. If these are features, pass a StackingPipeline, or the predictions that its "
            "base_predictions makes of them."
        )


def column_names(ensemble, names):
    """`names`, one for each column; None takes `feature_names_in_`, or numbers."""
    m = ensemble.n_features_in_
    if names is None:
        names = getattr(ensemble, "feature_names_in_", range(m))
    if len(names) != m:
        raise ValueError(
            f"names has {len(names)} entries, but the estimator has {m} columns: pass one per "
            "column."
        )
    return [str(name) for name in names]


def class_probabilities(ensemble, R):
    """Predictions of the models for each class, NaN where missing.

    Parameters
    ----------
    ensemble : fitted CFEnsemble or trainer
    R : ndarray of shape (n, q)

    Returns
    -------
    P : ndarray of shape (n, m, K)
        m base models; sums to 1 over the classes.

    Raises
    ------
    ValueError
        If the columns are scores.
    """
    layout = ensemble.encoder_.layout
    if layout.kind == "scores":
        raise ValueError(
            "The columns are scores, not probabilities of classes: there is no plain average "
            "to compare."
        )
    P = np.asarray(R, dtype=np.float64)[:, layout.columns].reshape(len(R), -1, layout.n_outputs)
    return (
        np.concatenate([1.0 - P, P], axis=2)[:, :, ensemble.class_order_]
        if layout.n_outputs == 1
        else P
    )


def plain(text):
    """Text that matplotlib writes as it stands, and does not read as a formula."""
    return text.replace("$", r"\$")


def new_axes(ax):
    """`ax`, or the axes of a new figure; an ImportError that names the extra where matplotlib is
    missing.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which is not installed: pip install 'cfens_stack[plot]'."
        ) from error
    return pyplot.subplots(layout="constrained")[1]
