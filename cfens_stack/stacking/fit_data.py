"""What a fit keeps of its data so that parts of it can be fitted again."""

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from cfens_stack.stacking.frames import index_of

ROWS, CELLS = 100, 10_000  # at most, of the rows that are compared


@dataclass(frozen=True)
class FitData:
    """Labels, weights, groups and folds of a fit; copies, which the caller cannot change.

    Attributes
    ----------
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    metadata : dict
        "sample_weight" and "groups", None where there are none.
    splits : list of (train, test)
    rows : str
        Stands for the table X; see `rows_key`.
    key : str or None
        Stands for X and y in the cache, if there is one.
    index : pandas.Index or None
        Of a pandas frame X.
    """

    y: np.ndarray
    metadata: dict[str, np.ndarray | None]
    splits: list[Any]
    rows: str
    key: str | None
    index: Any = None

    @classmethod
    def of(cls, X, y, metadata, splits, key):
        """Copies of the parts."""
        kept = {name: None if part is None else part.copy() for name, part in metadata.items()}
        small = np.int32 if len(y) < 2**31 else np.int64
        folds = [(train.astype(small), test.astype(small)) for train, test in splits]
        return cls(y, kept, folds, rows_key(X), key, index_of(X))


def rows_key(X):
    """Text that tells one table of rows from another and from its rows in another order: a hash of
    some of the rows.
    """
    n, p = X.shape
    some = np.unique(np.linspace(0, n - 1, max(5, min(ROWS, CELLS // p))).astype(int))
    rows = _safe_indexing(X, some)
    cells = rows.toarray() if issparse(rows) else np.asarray(rows, dtype=object)
    return joblib.hash([str(cell) for cell in cells.ravel()])
