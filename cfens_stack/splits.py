"""Folds from any splitter, checked."""

import reprlib
from numbers import Integral

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import _safe_indexing

from cfens_stack.validation import UNLABELLED


def make_splits(cv, X, y, metadata, *, classes, seed):
    """Folds as a list of (train, test) row numbers of X; rows without a label are in none.

    An int stands for shuffled stratified folds, with groups kept together if there are any.
    Splitter objects see the labelled rows only; an iterable of (train, test) names rows of X.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Codes of the labels in `classes`, -1 without a label.
    metadata : dict of str to ndarray of shape (n,)
        What the splitter gets besides X and y.

    Raises
    ------
    ValueError
        If a class or the groups are too few for the number of folds, or a split names rows that do
        not exist, has no training rows, or trains on the rows it tests.
    """
    labelled = np.flatnonzero(y != UNLABELLED)
    if cv is not None and not isinstance(cv, Integral) and not hasattr(cv, "split"):
        splits = [_check_split(fold, split, len(y)) for fold, split in enumerate(cv)]
        splits = [
            (train[y[train] != UNLABELLED], test[y[test] != UNLABELLED]) for train, test in splits
        ]
    else:
        if len(labelled) < len(y):
            X, y = _safe_indexing(X, labelled), y[labelled]
            metadata = {name: _safe_indexing(values, labelled) for name, values in metadata.items()}
        if cv is None or isinstance(cv, Integral):
            folds = _stratified(5 if cv is None else cv, y, metadata.get("groups"), classes, seed)
        else:
            folds = cv.split(X, y, **metadata)
        splits = [_check_split(fold, split, len(y)) for fold, split in enumerate(folds)]
        splits = [(labelled[train], labelled[test]) for train, test in splits]
    splits = [(train, test) for train, test in splits if len(test)]
    if not splits:
        raise ValueError(
            f"cv={cv!r} holds out no row in any fold: out-of-fold predictions need test rows."
        )
    return splits


def _stratified(n_folds, y, groups, classes, seed):
    _check_enough_rows(y, classes, groups, n_folds)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    return kind(n_folds, shuffle=True, random_state=seed).split(y[:, None], y, groups)


def _check_enough_rows(y, classes, groups, n_folds):
    counts = np.bincount(y, minlength=len(classes))
    rarest = counts.argmin()
    if counts[rarest] < n_folds:
        raise ValueError(
            f"Class {classes.tolist()[rarest]!r} has {counts[rarest]} rows, too few for "
            f"cv={n_folds} folds with one in each. Pass cv={max(2, counts[rarest])} or less, a "
            "splitter of your own, or more rows of that class."
        )
    if groups is not None and (n_groups := len(np.unique(groups))) < n_folds:
        raise ValueError(
            f"groups has {n_groups} different values, too few for cv={n_folds} folds. Pass a "
            "smaller cv."
        )


def _check_split(fold, split, n_rows):
    try:
        train, test = (_row_numbers(rows, n_rows) for rows in split)
    except (TypeError, ValueError):
        raise ValueError(
            f"cv: fold {fold} is {reprlib.repr(split)}, but each fold is a pair (train, test) of "
            f"row numbers, or of masks with one entry for each of the {n_rows} rows."
        ) from None
    if len(train) == 0:
        raise ValueError(
            f"cv: fold {fold} has no training rows. Leave the fold out, or give it some."
        )
    for side in (train, test):
        if len(side) and (side.min() < 0 or side.max() >= n_rows):
            raise ValueError(
                f"cv: fold {fold} names row {side[np.abs(side).argmax()]}, but X has rows 0 to "
                f"{n_rows - 1}."
            )
    shared = np.intersect1d(train, test)
    if len(shared):
        raise ValueError(
            f"cv: fold {fold} has {len(shared)} rows on both sides, the first of them "
            f"{shared[0]}. Predictions of rows that a model was trained on are not out of fold; "
            "take them out of one side."
        )
    return train, test


def _row_numbers(rows, n_rows):
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise ValueError("a mask of another length")
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise TypeError("no row numbers")
    return rows.astype(np.intp)
