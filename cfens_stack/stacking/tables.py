"""Tables of rows of any kind (numpy, pandas, polars, sparse): checks, kinds of columns,
conversions.
"""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import validate_data

from cfens_stack.validation import filled, is_missing

MISSING = "<missing>"


def check_rows(estimator, X, reset):
    """X with rows that can be selected, its columns checked or noted; data frames and dense arrays
    are not touched.
    """
    if not (hasattr(X, "columns") and hasattr(X, "shape")):
        X = check_array(
            filled(X),
            accept_sparse="csr",
            dtype=None,
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )
    elif 0 in X.shape:
        raise ValueError(
            f"X has shape {tuple(X.shape)}, but at least one row and one column are needed."
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return X


def own_copy(X):
    """X for one model, which may change it in place, as with copy=False or a column added to a
    frame: neither the caller nor the other models see it.
    """
    if isinstance(X, np.ndarray):
        return np.array(X)
    copy = getattr(X, "copy", None) or getattr(X, "clone", None)  # polars
    return X if copy is None else copy()


def numeric_columns(X):
    """Positions of the columns of numbers, truth values and dates, whatever kind of table X is."""
    return [j for j, kind in enumerate(_kinds(X)) if kind == "numeric"]


def categorical_columns(X):
    """Positions of the other columns; a column without any value is in neither list."""
    return [j for j, kind in enumerate(_kinds(X)) if kind == "categorical"]


def _kinds(X):
    if issparse(X):
        raise TypeError(
            "The default base models need a dense table, but X is sparse: pass estimators that "
            "take it."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return np.where(np.isnan(X).all(axis=0), "empty", "numeric").tolist()
    return [_kind(_safe_indexing(X, j, axis=1)) for j in range(X.shape[1])]


def _kind(column):
    values = np.asarray(column)
    present = values[~_is_missing(values)]
    if len(present) == 0:
        return "empty"
    if str(getattr(column, "dtype", "")).lower().startswith(("categor", "enum")):
        return "categorical"
    if values.dtype.kind != "O":
        return "numeric" if values.dtype.kind in "biufmM" else "categorical"
    numbers = (int, float, np.number, np.bool_)
    return (
        "numeric"
        if all(issubclass(kind, numbers) for kind in set(map(type, present)))
        else "categorical"
    )


def _is_missing(values):
    return np.isnat(values) if values.dtype.kind in "mM" else is_missing(values)


def as_floats(X):
    """Columns of numbers, truth values and dates as floats, NaN where missing; dates count in
    seconds.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return X.astype(np.float64, copy=False)
    columns = [np.asarray(_safe_indexing(X, j, axis=1)) for j in range(X.shape[1])]
    return np.column_stack([_float_column(values) for values in columns])


def _float_column(values):
    if values.dtype.kind in "mM":
        seconds = values.astype(f"{values.dtype.kind}8[s]")
        return np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64))
    if values.dtype.kind == "O":
        values = np.where(_is_missing(values), np.nan, values)
    return values.astype(np.float64)


def as_strings(X):
    """Categories as strings, missing ones as a category of their own: object array of the shape of
    X.
    """
    columns = [np.asarray(_safe_indexing(X, j, axis=1), dtype=object) for j in range(X.shape[1])]
    texts = [np.array([str(value) for value in values], dtype=object) for values in columns]
    missing = [_is_missing(values) for values in columns]
    return np.column_stack(
        [np.where(gone, MISSING, text) for gone, text in zip(missing, texts, strict=True)]
    )
