"""Columns of a table that are taken for predictions but hardly are: row numbers, folds, labels."""

import numpy as np

from cfens_stack.validation import is_missing, warn_user

ENOUGH_ROWS = 10


def warn_of_other_columns(where, R, y, names):
    """Name them, in a warning at the line that called the caller.

    Parameters
    ----------
    where : str
        What messages call the table.
    R : ndarray of shape (n, m)
    y : ndarray of shape (n,) or None
    names : list of str, length m
    """
    seen = np.isfinite(R).any(axis=0)
    outside = ((R < 0) | (R > 1)).any(axis=0)
    within = seen & ~outside
    numbering = np.array([_numbers_rows(r) for r in R.T])
    told = np.array([y is not None and _tells(r, y) for r in R.T])
    reasons = [
        (
            outside & within.any(),
            f"have values outside [0, 1], while the other {within.sum()} look like probabilities. "
            "CFEnsemble would refuse them.",
        ),
        (
            numbering & ~within.any() & ~numbering.all(),
            "seem to number the rows: whole numbers, each of them once.",
        ),
        (told, "tell the label of every row, as out-of-fold predictions hardly do."),
    ]
    for odd, reason in reasons:
        if odd.any():
            warn_user(
                f"{where}: columns {[names[u] for u in np.flatnonzero(odd)]} are taken for models, "
                f"but {reason} Name them in id=, fold=, weight=, label= or ignore=, or confirm "
                "with models=."
            )


def _numbers_rows(r):
    return bool((r == np.round(r)).all()) and len(np.unique(r)) == len(r)


def _tells(r, y):
    """Whether a column of two values is a copy of labels of two classes, in more rows than chance
    may explain.
    """
    labelled = ~is_missing(y)
    r, y = r[labelled], y[labelled].astype(str)
    values, classes = np.unique(r), np.unique(y)
    if len(r) < ENOUGH_ROWS or len(values) != 2 or len(classes) != 2 or np.isnan(r).any():
        return False
    codes, truth = r == values[1], y == classes[1]
    return bool((codes == truth).all() or (codes != truth).all())
