"""Folds from any splitter, checked."""

import reprlib
import warnings
from numbers import Integral

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import _safe_indexing

from cfens_stack.validation import UNLABELLED, warn_user


def make_splits(cv, X, y, metadata, *, classes, seed, rare="raise"):
    """Folds as a list of (train, test) row numbers of X; rows without a label are in none.

    An int stands for shuffled stratified folds, with groups kept together if there are any.
    Splitter objects see the labelled rows only; an iterable of (train, test) names rows of X.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Codes of the labels in `classes`, -1 without a label.
    metadata : dict of str to ndarray of shape (n,)
        What the splitter gets besides X and y.
    rare : {"raise", "warn", "pass"}, default="raise"
        What an int does where a class has fewer rows than folds; then some folds hold out none of
        them. Where every class has fewer, or one of two classes has one row, it raises.

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
            n_folds = 5 if cv is None else cv
            folds = _stratified(n_folds, y, metadata.get("groups"), classes, seed, rare)
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


def _stratified(n_folds, y, groups, classes, seed, rare):
    _check_enough_rows(y, classes, groups, n_folds, rare)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # told in our words
        return list(splitter.split(y[:, None], y, groups))


def _check_enough_rows(y, classes, groups, n_folds, rare):
    counts = np.bincount(y, minlength=len(classes))
    rarest = counts.argmin()
    if counts[rarest] < n_folds:
        impossible = counts.max() < n_folds or (len(classes) == 2 and counts[rarest] == 1)
        rows = f"{counts[rarest]} row{'s' if counts[rarest] > 1 else ''}"
        what = f"Class {classes.tolist()[rarest]!r} has {rows}"
        if rare == "raise" or impossible:
            raise ValueError(_too_few(what, counts, n_folds, rare))
        if rare == "warn":
            alone = "" if counts[rarest] > 1 else ", and no model predicts this class for that row"
            warn_user(
                f"{what}, fewer than cv={n_folds} folds: some folds hold out none of them{alone}."
            )
    if groups is not None and (n_groups := len(np.unique(groups))) < n_folds:
        raise ValueError(
            f"groups has {n_groups} different values, too few for cv={n_folds} folds. Pass a "
            "smaller cv."
        )


def _too_few(what, counts, n_folds, rare):
    if counts.min() == 1 and (rare == "raise" or len(counts) == 2):
        return (
            f"{what}: it cannot be both learnt and held out. Pass more rows of that class, or "
            "leave it out."
        )
    most = counts.min() if rare == "raise" else counts.max()
    return (
        f"{what}, too few for cv={n_folds} folds with one in each. Pass cv={most} or less, a "
        "splitter of your own, or more rows of that class."
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
