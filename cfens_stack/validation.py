"""Labels with missing entries, equation (9); weights and groups of rows; parts that are classes,
not instances.
"""

import sys

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

UNLABELLED = -1


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


def positive_class(pos_label, classes):
    """Place in `classes` of the class that counts as positive: int.

    Parameters
    ----------
    pos_label : object or None
        None: the last of two classes, as in scikit-learn.
    classes : ndarray of shape (K,)

    Raises
    ------
    ValueError
        If it is no class, or there are more than two.
    """
    if pos_label is None:
        return len(classes) - 1
    if len(classes) > 2:
        raise ValueError(
            f"pos_label={pos_label!r} is for two classes, but y has {len(classes)}: leave it at "
            "None."
        )
    found = [place for place, label in enumerate(classes.tolist()) if label == pos_label]
    if not found:
        raise ValueError(
            f"pos_label={pos_label!r} is none of the classes: pass one of {classes.tolist()}, or "
            f"None for {classes.tolist()[-1]!r}."
        )
    return found[0]


def doubtful_positive_class(pos_label, classes, counts, metric):
    """What to warn of if a metric takes a class for positive that nobody named; None if all is
    well.

    Labels 0/1, False/True and -1/1 say which class is positive. Of others the last in order may be
    the common one, and a score such as F1 then looks far better than it is.

    Parameters
    ----------
    pos_label : object or None
    classes : ndarray of shape (2,)
    counts : array-like of shape (2,)
        Rows of each class.
    metric : str
    """
    known = classes.tolist() in ([0, 1], [-1, 1])
    if pos_label is not None or len(classes) != 2 or known or counts[1] <= counts[0]:
        return None
    common, rare = classes.tolist()[1], classes.tolist()[0]
    return (
        f"{metric} takes {common!r} for the positive class, the last in order, though {rare!r} is "
        f"rarer ({counts[0]:g} of {sum(counts):g} rows). Pass pos_label={rare!r} if that is the "
        f"one to find, or pos_label={common!r} to say that this is meant."
    )
