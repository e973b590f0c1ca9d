"""Labels with missing entries, equation (9); weights and groups of rows; parts that are classes,
not instances; warnings at the caller's line.
"""

import sys
import warnings

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

UNLABELLED = -1

# Packages whose frames stand between this one and the caller's line: host loops, and what wraps
# a function of ours.
BETWEEN = {"cfens_stack", "sklearn", "joblib", "optuna", "contextlib", "functools"}


def encode_labels(y):
    """Classes and class codes of y; NaN, None and pandas.NA mark rows without a label.

    Parameters
    ----------
    y : array-like of shape (n,)
        Numbers, strings, booleans or categories.

    Returns
    -------
    classes : ndarray of shape (K,), K >= 2
        Sorted.
    codes : ndarray of int, shape (n,)
        Place in `classes`, -1 for a row without a label.

    Raises
    ------
    ValueError
        If y is continuous, infinite, has no label at all or only one class.
    TypeError
        If y mixes strings and other types.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    # A list of strings and NaN as objects: numpy would make a string "nan" of the NaN.
    y = column_or_1d(
        y if hasattr(y, "dtype") or hasattr(y, "to_numpy") else np.asarray(y, dtype=object),
        warn=True,
    )
    labelled = ~is_missing(y)
    if not labelled.any():
        raise ValueError(
            "y has no label: every entry is missing. At least one row of each class must be "
            "labelled."
        )
    known = y[labelled]
    if y.dtype == object:
        kinds = {isinstance(label, str): label for label in known}
        if len(kinds) > 1:
            raise TypeError(
                f"y mixes strings and other types, such as {kinds[True]!r} and {kinds[False]!r}: "
                "pass labels of one type."
            )
        known = np.array(known.tolist())
    if known.dtype.kind in "fc":
        assert_all_finite(known, input_name="y")
    check_classification_targets(known)
    classes = np.unique(known)
    if len(classes) == 1:
        raise ValueError(
            f"y has one class only ({classes.tolist()[0]!r}), but a classifier needs labelled "
            "rows of at least two."
        )
    full = np.full(len(y), UNLABELLED)
    full[labelled] = np.searchsorted(classes, known)
    return classes, full


def is_missing(y):
    """Where a label is NaN, None or pandas.NA: ndarray of bool, shape (n,)."""
    if y.dtype.kind in "fM":
        return np.isnan(y)
    if y.dtype != object:
        return np.zeros(len(y), dtype=bool)
    pandas = sys.modules.get("pandas")  # without pandas imported there is no pandas.NA to be found
    NA = pandas.NA if pandas else None
    return np.array([label is None or label is NA or label != label for label in y], dtype=bool)


def check_weights(sample_weight, X, y, classes):
    """Validated sample weights, None if there are none; every class keeps some.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or None
    X : array-like with n rows
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    classes : ndarray of shape (K,)
    """
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    labelled = y != UNLABELLED
    mass = np.bincount(y[labelled], weights=weights[labelled], minlength=len(classes))
    if not mass.all():
        raise ValueError(
            f"sample_weight gives class {classes.tolist()[mass.argmin()]!r} a total weight of 0: "
            "every class needs a labelled row of positive weight."
        )
    return weights


def row_weights(sample_weight, X, y, classes):
    """Validated sample weights, 1 for every row if there are none: ndarray of shape (n,)."""
    weights = check_weights(sample_weight, X, y, classes)
    return np.ones(len(y)) if weights is None else weights


def check_groups(groups, X):
    """Groups as an array with one entry a row of X; None if there are none."""
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (X.shape[0],):
        raise ValueError(
            f"groups has shape {groups.shape}, but X has {X.shape[0]} rows: pass one group a row."
        )
    return groups


def refuse_classes(**parts):
    """TypeError for parts that are classes where instances are meant."""
    for name, part in parts.items():
        if isinstance(part, type):
            raise TypeError(
                f"{name}={part.__name__} is a class: pass an instance, {part.__name__}(...)."
            )


def warn_user(message, category=UserWarning):
    """Warn at the line outside of this package, and of those that call it, that led here.

    A fixed `stacklevel` is right for one way in only: a fit may be called by the user, by
    `GridSearchCV` or through a decorator. `skip_file_prefixes` would need Python 3.12. In a worker
    process there is no line of the user; the warning then points at the outermost frame.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    frame = sys._getframe(1)
    while _is_between(frame) and frame.f_back is not None:
        frame = frame.f_back
    names = frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=names.get("__name__", "<string>"),
        registry=names.setdefault("__warningregistry__", {}),  # shown once a line, as by warn()
    )


def _is_between(frame):
    """Whether a frame belongs to a package that is not the user's; doctests have the module's
    name, but are calls like a user's.
    """
    package = frame.f_globals.get("__name__", "").partition(".")[0]
    return package in BETWEEN and not frame.f_code.co_filename.startswith("<doctest")
