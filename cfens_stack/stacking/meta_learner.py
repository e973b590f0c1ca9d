"""Fit of a meta-learner on a prediction matrix with missing cells and missing labels."""

import warnings

import numpy as np
from sklearn.base import is_clusterer, is_outlier_detector, is_regressor
from sklearn.utils import _safe_indexing, get_tags

from cfens_stack.positive_class import positive_class
from cfens_stack.stacking.failures import summary
from cfens_stack.stacking.frames import named_predictions
from cfens_stack.validation import UNLABELLED, refuse_classes

NO_CLASSIFIERS = {
    "a regressor": is_regressor,
    "a clusterer": is_clusterer,
    "an outlier detector": is_outlier_detector,
}


def check_meta_classes(meta, classes):
    """Refuse, before any base model is fitted, a class, what is no classifier, and a meta-learner
    for two classes where there are more.
    """
    refuse_classes(meta=meta)
    for kind, is_kind in NO_CLASSIFIERS.items():
        if is_kind(meta):
            raise TypeError(
                f"meta={meta!r} is {kind}, whose numbers are no classes: pass a classifier, such "
                "as CFEnsemble() or LogisticRegression()."
            )
    tags = get_tags(meta).classifier_tags
    if len(classes) > 2 and tags is not None and not tags.multi_class:
        raise ValueError(
            f"Only binary classification is supported by meta={meta!r}, but y has {len(classes)} "
            "classes. Pass a meta that takes several."
        )


def stated(meta, classes):
    """The meta-learner with what a stack knows of its matrix: nothing has to be read off the
    numbers, and a positive class is one of the labels, of which the meta-learner sees the codes.
    """
    params = meta.get_params(deep=False)
    if params.get("layout") == "auto":
        meta.set_params(layout="positive" if len(classes) == 2 else "model-major")
    if params.get("pos_label") is not None:
        code = positive_class(params["pos_label"], classes)
        # Of an ensemble it is the class that columns give the probability of: the second one.
        meta.set_params(pos_label=None if "layout" in params else code)
    return meta


def fit_meta(meta, R, y, classes, fit_params, failures, names=None):
    """Fit `meta` on the rows that have a prediction; rows without a label (y = -1) are for those
    that take them.

    Parameters
    ----------
    R : ndarray of shape (n, m) or (n, m * K)
    y : ndarray of int, shape (n,)
        Codes of the labels in `classes`, -1 without a label.
    fit_params : dict of str to array of length n
    failures : list of FitFailure
        Why cells are missing, for the error message.
    names : sequence of str, default=None
        Of the columns; for meta-learners that tell of columns by name.

    Returns
    -------
    meta : estimator

    Raises
    ------
    ValueError
        If a class has no row with a prediction, or the fit fails and R has missing cells.
    """
    rows = np.isfinite(R).any(axis=1)
    if not getattr(meta, "takes_unlabelled_rows", False):
        rows &= y != UNLABELLED
    unseen = np.setdiff1d(np.arange(len(classes)), y[rows])
    if len(unseen):
        raise ValueError(
            f"No row of class {classes.tolist()[unseen[0]]!r} has an out-of-fold prediction, so "
            "meta cannot learn it. Pass a cv whose test folds hold every class."
        )
    if not rows.all():
        R, y = R[rows], y[rows]
        fit_params = {
            name: _safe_indexing(values, np.flatnonzero(rows))
            for name, values in fit_params.items()
        }
    labels = np.where(y == UNLABELLED, np.nan, y) if UNLABELLED in y else y
    try:
        with warnings.catch_warnings():
            # A lost model has been reported by its name and reason.
            warnings.filterwarnings(
                "ignore", message=".*have no prediction in any row", category=UserWarning
            )
            named = R if names is None else named_predictions(meta, R, names)
            return meta.fit(named, labels, **fit_params)
    except ValueError as error:
        n_missing = np.isnan(R).sum()
        if n_missing == 0:
            raise
        raise ValueError(
            f"meta={meta!r} could not be fitted on predictions of which {n_missing} of {R.size} "
            f"are missing (NaN): {error} Use a meta that takes NaN, such as CFEnsemble(), or put "
            f"an imputer before it.\n{summary(failures)}"
        ) from error
