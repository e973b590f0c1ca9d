"""Tables of predictions written by any tool: CSV, Parquet, npz or a data frame."""

from dataclasses import dataclass

import numpy as np

from cfens_stack.plugins.other_columns import warn_of_other_columns
from cfens_stack.plugins.table_files import open_table
from cfens_stack.validation import is_missing


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions of base models, with what else the table held.

    Attributes
    ----------
    R : ndarray of float64, shape (n, m)
        NaN where a model did not score the row.
    y, folds : ndarray of shape (n,) or None
        As in the table; NaN, None or pandas.NA where there is no label.
    sample_weight : ndarray of float64, shape (n,), or None
    model_names : list of str, length m
    ids : ndarray of shape (n,) or None
        Names of the rows.
    """

    R: np.ndarray
    y: np.ndarray | None
    sample_weight: np.ndarray | None
    folds: np.ndarray | None
    model_names: list
    ids: np.ndarray | None = None

    def __str__(self):
        labelled = (
            "no labels"
            if self.y is None
            else f"{1 - is_missing(self.y).mean():.1%} of rows labelled"
        )
        n, m = self.R.shape
        missing = f"{np.isnan(self.R).mean():.1%} of cells missing"
        return f"{n} rows, {m} model columns, {missing}, {labelled}"


def read_predictions(table, *, label=None, weight=None, fold=None, id=None, ignore=(), models=None):
    """Read a table of predictions: one row per instance, one column per model (K columns per model
    for K > 2 classes).

    Parameters
    ----------
    table : str, path-like or DataFrame
        A data frame (pandas, polars), or a file: .csv, .parquet, .pq or .npz. An npz file holds `R`
        of shape (n, m), optionally `model_names` of shape (m,), and arrays of shape (n,) under the
        names given below; no arrays of objects.
    label, weight, fold, id : str, default=None
        Columns of labels (empty, NA and the like: unknown), of sample weights, of the fold a row
        was held out in, and of the names or numbers of the rows.
    ignore : sequence of str, default=()
        Columns that are left out.
    models : list of str, default=None
        Columns of predictions, in this order. None: all that are not named above; a warning names
        those that do not look like predictions.

    Returns
    -------
    PredictionTable

    Raises
    ------
    FileNotFoundError
    ImportError
        Without pandas, or pyarrow for Parquet.
    ValueError
        Unknown suffix; no rows; a column absent, unnamed, named twice or not numeric; a weight
        negative or missing.
    TypeError
        If the table is neither a path nor a data frame.

    Warns
    -----
    UserWarning
        If, without `models`, a column has values outside [0, 1] or numbers the rows while others
        do not, or tells the label of every row.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from cfens_stack import read_predictions
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "predictions.npz")
    ...     np.savez(path, R=[[0.2, 0.1], [0.9, np.nan], [0.4, 0.6]], y=[0, 1, np.nan])
    ...     print(read_predictions(path, label="y"))
    3 rows, 2 model columns, 16.7% of cells missing, 66.7% of rows labelled
    """
    parts = [name for name in (label, weight, fold, id) if name is not None]
    where, frame = open_table(table, parts)
    others = [*parts, *_listed(ignore)]
    taken = [name for name in frame if name not in others] if models is None else _listed(models)
    _check_names(where, frame, taken, others)
    weights = None if weight is None else _numbers(where, frame, weight)
    if weights is not None and not ((weights >= 0) & np.isfinite(weights)).all():
        raise ValueError(
            f"{where}: column {weight!r} of weights is negative, infinite or missing in some rows."
        )
    R = np.column_stack([_numbers(where, frame, name) for name in taken])
    y = None if label is None else _labels(frame[label])
    if models is None:
        warn_of_other_columns(where, R, y, taken)
    return PredictionTable(
        R=R,
        y=y,
        sample_weight=weights,
        folds=None if fold is None else frame[fold].to_numpy(),
        model_names=[str(name) for name in taken],
        ids=None if id is None else _labels(frame[id]),
    )


def _listed(names):
    return [names] if isinstance(names, str) else list(names)


def _check_names(where, frame, models, others):
    columns, names = list(frame), [*models, *others]
    absent = [name for name in names if name not in columns]
    if absent:
        raise ValueError(
            f"{where} has no column {absent[0]!r}; it has {', '.join(map(str, columns))}."
        )
    twice = [name for name in names if names.count(name) > 1 or columns.count(name) > 1]
    if twice:
        raise ValueError(f"{where}: column {twice[0]!r} is there, or asked for, more than once.")
    if "" in models:
        raise ValueError(
            f"{where} has a column without a name, perhaps of row numbers: pass id='' or models=."
        )
    if not (models and len(frame)):
        raise ValueError(f"{where} has no {'rows' if models else 'column of predictions'}.")


def _numbers(where, frame, name):
    """A column as float64, NaN where missing."""
    column = frame[name]
    if column.dtype.kind not in "biuf" and not column.isna().all():
        raise ValueError(
            f"{where}: column {name!r} is not numeric. Name it in label=, fold=, id= or ignore=, "
            "or the predictions in models=."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _labels(column):
    """A column as an array; pandas itself would make floats of its own types with gaps."""
    own = not isinstance(column.dtype, np.dtype)
    objects = own and (column.dtype.kind == "O" or column.isna().any())
    return column.astype(object).to_numpy() if objects else column.to_numpy()
