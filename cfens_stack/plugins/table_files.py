"""Files and data frames as pandas frames: CSV, Parquet and npz."""

from importlib import import_module
from os import PathLike
from pathlib import Path

import numpy as np

SUFFIXES = (".csv", ".parquet", ".pq", ".npz")


def open_table(table, parts):
    """What errors call the table, and the table as a pandas frame.

    `parts` names the arrays of an npz file that are wanted beside R.
    """
    if hasattr(table, "columns"):
        if not hasattr(table, "iloc"):  # polars
            pandas = needed("pandas")
            table = pandas.DataFrame({c: pandas.array(table[c].to_list()) for c in table.columns})
        return "The table", table
    if not isinstance(table, str | PathLike):
        raise TypeError(
            f"table is of type {type(table).__name__}: pass the path of a file, or a data frame."
        )
    if (path := Path(table)).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"table={str(path)!r} ends in {path.suffix!r}; valid are {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    return str(path), _read_npz(path, parts) if path.suffix.lower() == ".npz" else _read_frame(path)


def _read_frame(path):
    pandas = needed("pandas")
    if path.suffix.lower() != ".csv":
        needed("pyarrow")
        return pandas.read_parquet(path, engine="pyarrow")
    # From pandas 3.1 on this is the default, and the argument deprecated.
    exact = tuple(map(int, pandas.__version__.split(".")[:2])) >= (3, 1)
    try:
        frame = pandas.read_csv(path, **({} if exact else {"float_precision": "round_trip"}))
        names = pandas.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False).iloc[0]
    except ValueError as error:  # of which pandas' own errors and UnicodeDecodeError are some
        raise ValueError(
            f"{path} cannot be read as CSV (comma-separated, UTF-8): {error}"
        ) from error
    if not isinstance(frame.index, pandas.RangeIndex):  # the names would belong to other columns
        raise ValueError(
            f"{path} has more values in a row than names in its first line: give the first column "
            "a name too, and write decimals with a point."
        )
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
