"""Tables of predictions written by any tool: CSV, Parquet or npz."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from cfens_stack.validation import is_missing

SUFFIXES = (".csv", ".parquet", ".pq", ".npz")


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions of base models, with what else the file held.

    Attributes
    ----------
    R : ndarray of float64, shape (n, m)
        NaN where a model did not score the row.
    y, folds : ndarray of shape (n,) or None
        As in the file; NaN, None or pandas.NA where there is no label.
    sample_weight : ndarray of float64, shape (n,), or None
    model_names : list of str, length m
    """

    R: np.ndarray
    y: np.ndarray | None
    sample_weight: np.ndarray | None
    folds: np.ndarray | None
    model_names: list

    def __str__(self):
        labelled = (
            "no labels"
            if self.y is None
            else f"{1 - is_missing(self.y).mean():.1%} of rows labelled"
        )
        n, m = self.R.shape
        return f"{n} rows, {m} model columns, {np.isnan(self.R).mean():.1%} of cells missing, {labelled}"


def read_predictions(path, *, label=None, weight=None, fold=None, models=None):
    """Read a table of predictions: a row an instance, a column a model (K columns a model for K > 2
    classes).

    Parameters
    ----------
    path : str or path-like
        .csv, .parquet, .pq or .npz. An npz file holds `R` of shape (n, m), optionally `model_names`
        of shape (m,), and arrays of shape (n,) under the names given below; no arrays of objects.
    label, weight, fold : str, default=None
        Columns of labels (empty, NA and the like: unknown), of sample weights, and of the fold a
        row was held out in.
    models : list of str, default=None
        Columns of predictions, in this order. None: all that are not named above.

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

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "predictions.npz")
    ...     np.savez(path, R=[[0.2, 0.1], [0.9, np.nan], [0.4, 0.6]], y=[0, 1, np.nan])
    ...     print(read_predictions(path, label="y"))
    3 rows, 2 model columns, 16.7% of cells missing, 66.7% of rows labelled
    """
    if (path := Path(path)).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"path={str(path)!r} ends in {path.suffix!r}; valid are {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    others = [name for name in (label, weight, fold) if name is not None]
    frame = _read_npz(path, others) if path.suffix.lower() == ".npz" else _read_frame(path)
    models = [name for name in frame if name not in others] if models is None else list(models)
    _check_names(path, frame, models, others)
    weights = None if weight is None else _numbers(path, frame, weight)
    if weights is not None and not ((weights >= 0) & np.isfinite(weights)).all():
        raise ValueError(
            f"{path}: column {weight!r} of weights is negative, infinite or missing in some rows."
        )
    return PredictionTable(
        R=np.column_stack([_numbers(path, frame, name) for name in models]),
        y=None if label is None else frame[label].to_numpy(),
        sample_weight=weights,
        folds=None if fold is None else frame[fold].to_numpy(),
        model_names=models,
    )


def _read_frame(path):
    pandas = needed("pandas")
    if path.suffix.lower() != ".csv":
        needed("pyarrow")
        return pandas.read_parquet(path, engine="pyarrow")
    exact = tuple(map(int, pandas.__version__.split(".")[:2])) >= (
        3,
        1,
    )  # the default is, the argument deprecated
    frame = pandas.read_csv(path, **({} if exact else {"float_precision": "round_trip"}))
    names = pandas.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False).iloc[0]
    return frame.set_axis(names.tolist(), axis=1)  # read_csv makes a, a.1 of two columns called a


def _read_npz(path, others):
    pandas = needed("pandas")
    with np.load(path, allow_pickle=False) as arrays:
        if "R" not in arrays:
            raise ValueError(f"{path} has no array 'R' of predictions; it has {', '.join(arrays)}.")
        if (R := arrays["R"]).ndim != 2:
            raise ValueError(f"{path}: R has shape {R.shape}; it must be (rows, models).")
        names = (
            arrays["model_names"].tolist()
            if "model_names" in arrays
            else [f"model{u}" for u in range(R.shape[1])]
        )
        if len(names) != R.shape[1]:
            raise ValueError(f"{path}: {len(names)} model_names for the {R.shape[1]} columns of R.")
        found = {name: arrays[name] for name in others if name in arrays}
    for name, array in found.items():
        if array.shape != R.shape[:1]:
            raise ValueError(
                f"{path}: array {name!r} has shape {array.shape}; it must be ({len(R)},), as R "
                "has rows."
            )
    return pandas.concat(
        [pandas.DataFrame(R, columns=names), pandas.DataFrame(found, index=range(len(R)))], axis=1
    )


def needed(package):
    """The package, imported; an ImportError names the extra that installs it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This file needs {package}: pip install 'cfens-stack[recipes]'."
        ) from error


def _check_names(path, frame, models, others):
    columns, names = list(frame), [*models, *others]
    absent = [name for name in names if name not in columns]
    if absent:
        raise ValueError(
            f"{path} has no column {absent[0]!r}; it has {', '.join(map(str, columns))}."
        )
    twice = [name for name in names if names.count(name) > 1 or columns.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: column {twice[0]!r} is there, or asked for, more than once.")
    if "" in models:
        raise ValueError(
            f"{path} has a column without a name, perhaps of row numbers: pass models=."
        )
    if not (models and len(frame)):
        raise ValueError(f"{path} has no {'rows' if models else 'column of predictions'}.")


def _numbers(path, frame, name):
    """A column as float64, NaN where missing."""
    column = frame[name]
    if column.dtype.kind not in "biuf" and not column.isna().all():
        raise ValueError(
            f"{path}: column {name!r} is not numeric. Name the predictions in models=, or the "
            "others."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
