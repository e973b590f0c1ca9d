"""Labels, weights, groups and masks of rows; warnings at the caller's line; equation (9)."""

import sys
import warnings

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

UNLABELLED = -1
TEXT_OF_MISSING = frozenset({"nan", "NaN", "None", "<NA>", "NaT"})
WEIGHT_RANGE = (1e-100, 1e100)  # products of two weights neither overflow nor lose their digits

# Packages whose frames stand between this one and the caller's line.
BETWEEN = {"cfens_stack", "sklearn", "joblib", "optuna", "contextlib", "functools"}


def encode_labels(y):
    """Classes and class codes of y; rows without a label are NaN, None, pandas.NA or masked.

    Parameters
    ----------
    y : array-like of shape (n,)
        Numbers, strings, booleans or categories.

    Returns
    -------
    classes : ndarray of shape (K,), K >= 2
        Sorted, and of the type that the labels have in y: integers and booleans stay what they are
        beside missing labels.
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
    y, labelled, known = known_labels(y)
    check_classification_targets(known)
    classes = np.unique(known)
    text = sorted(TEXT_OF_MISSING.intersection(classes.tolist()))
    if text:
        warn_user(
            f"y has the class {text[0]!r}, which looks like a missing label that became text. Pass "
            "missing labels as NaN or None in an array of objects, y.astype(object)."
        )
    if len(classes) == 1:
        raise ValueError(
            f"y has one class only ({classes.tolist()[0]!r}), but a classifier needs labelled "
            "rows of at least two."
        )
    full = np.full(len(y), UNLABELLED)
    full[labelled] = np.searchsorted(classes, known)
    return classes, full


def class_codes(y, classes):
    """Place of each label in the classes of a fitted estimator, -1 for a row without a label.

    Raises
    ------
    ValueError
        If y is None, has no label at all, or one that is not among the classes.
    """
    y, labelled, known = known_labels(y)
    strange = set(known.tolist()).difference(classes.tolist())
    if strange:
        raise ValueError(
            f"y has the label {min(strange, key=str)!r}, which is not among the classes that the "
            f"estimator was fitted on: {classes.tolist()}."
        )
    full = np.full(len(y), UNLABELLED)
    full[labelled] = np.searchsorted(classes, known)
    return full


def known_labels(y):
    """y as an array, where it is labelled, and those labels as an array of their own type."""
    if y is None:
        raise ValueError("y is None: pass the class label of each row.")
    y = _label_array(y)
    if np.ndim(y) == 2 and np.shape(y)[1] == 1:
        warn_user(
            "A column-vector y was passed when a 1d array was expected: pass y.ravel().",
            DataConversionWarning,
        )
    y = column_or_1d(y)
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
    return y, labelled, known


def _label_array(y):
    """y as numpy can hold it without turning labels into others: beside missing ones as objects."""
    if isinstance(y, np.ma.MaskedArray):
        return _without_masked(y)
    if isinstance(getattr(y, "dtype", None), np.dtype):
        return y
    if hasattr(y, "astype"):  # pandas: of its own types numpy would make floats
        return np.asarray(y.astype(object))
    if hasattr(y, "to_list"):  # polars
        return np.array(y.to_list(), dtype=object)
    # A list of strings and NaN as objects: numpy would make a string "nan" of the NaN.
    return y if hasattr(y, "to_numpy") else np.asarray(y, dtype=object)


def filled(R):
    """R, with NaN where a masked array is masked (None where it is not of numbers); anything else
    as it is.
    """
    if not isinstance(R, np.ma.MaskedArray):
        return R
    if R.dtype.kind not in "biuf":
        return _without_masked(R)
    return np.ma.filled(np.ma.asarray(R, dtype=np.float64), np.nan)


def _without_masked(masked):
    """A masked array as objects, None where it is masked."""
    objects = np.array(masked.data, dtype=object)
    objects[np.ma.getmaskarray(masked)] = None
    return objects


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
    weights = _check_sample_weight(
        filled(sample_weight), X, dtype=np.float64, ensure_non_negative=True, copy=True
    )
    lowest, highest = WEIGHT_RANGE
    if weights.max() > highest:
        raise ValueError(
            f"sample_weight holds {weights.max():g}, but weights count rows and are accepted up to "
            f"{highest:g}: rescale them to mean 1."
        )
    labelled = y != UNLABELLED
    mass = np.bincount(y[labelled], weights=weights[labelled], minlength=len(classes))
    least = classes.tolist()[mass.argmin()]
    if not mass.all():
        raise ValueError(
            f"sample_weight gives class {least!r} a total weight of 0: "
            "every class needs a labelled row of positive weight."
        )
    if mass.min() < lowest:
        raise ValueError(
            f"sample_weight gives class {least!r} a total weight of {mass.min():.3g}, but weights "
            f"count rows, and each class needs at least {lowest:g}: rescale them to mean 1."
        )
    return weights


def row_weights(sample_weight, X, y, classes):
    """Validated sample weights, 1 for every row if there are none: ndarray of shape (n,)."""
    weights = check_weights(sample_weight, X, y, classes)
    return np.ones(len(y)) if weights is None else weights


def check_groups(groups, X):
    """A copy of groups as an array with one entry per row of X; None if there are none."""
    if groups is None:
        return None
    if np.ma.is_masked(groups):
        raise ValueError("groups has masked entries: every row needs a group.")
    groups = np.array(_label_array(groups))
    if groups.shape != (X.shape[0],):
        raise ValueError(
            f"groups has shape {groups.shape}, but X has {X.shape[0]} rows: pass one group per row."
        )
    if is_missing(groups).any():
        raise ValueError("groups has missing entries: every row needs a group.")
    if groups.dtype == object:
        groups = np.array(groups.tolist())
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
