"""Rows of one partition as a fit sees them, and the first steps on them: read, select."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_array

from cfens_stack.ensemble.confidence import check_confidence
from cfens_stack.ensemble.layout import SUM_TOLERANCE, layout_sums
from cfens_stack.ensemble.link import refuse_large_scores
from cfens_stack.kernels.blocks import blocks
from cfens_stack.validation import filled


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one partition; fields are filled in as a fit proceeds.

    Attributes
    ----------
    R : ndarray of shape (n, q)
        Predictions, NaN where missing; all columns at first, later those in use, model-major.
    v : ndarray of shape (n,)
        Sample weights.
    y : ndarray of int, shape (n,)
        Class codes, -1 where unlabelled.
    observed : ndarray of bool, shape (n, q), or None
        Cells of R with a prediction, once columns are selected; None where nothing is missing.
    given : ndarray of shape (n, q) or None
        What a callable confidence returned.
    G, Z : ndarray of shape (n, q) or None
        Link-scale predictions, until they are centred; centred ones, 0 where missing.
    C : ndarray of shape (n, q) or (q,), or None
        Label-free confidence, (q,) if it is the same in all rows. Where Z is completed, that of
        filled cells too; else 0 where missing.
    """

    R: np.ndarray
    v: np.ndarray
    y: np.ndarray
    observed: np.ndarray | None = None
    given: np.ndarray | None = None
    G: np.ndarray | None = None
    Z: np.ndarray | None = None
    C: np.ndarray | None = None

    def take(self, chosen):
        """Some of the rows: a mask or a slice."""
        if isinstance(chosen, np.ndarray) and chosen.all():
            return self
        C = self.C

        def of(array):
            return None if array is None else array[chosen]

        return Rows(
            R=self.R[chosen],
            v=self.v[chosen],
            y=self.y[chosen],
            observed=of(self.observed),
            given=of(self.given),
            G=of(self.G),
            Z=of(self.Z),
            C=C if C is None or C.ndim == 1 else C[chosen],
        )

    def observed_confidence(self):
        """C with 0 in missing cells: (q,) if nothing is missing and it is the same in all rows."""
        assert self.C is not None
        return self.C if self.observed is None else np.where(self.observed, self.C, 0.0)

    def labelled(self):
        """The rows that have a label."""
        return self.take(self.y >= 0)


def identity(R):
    """Puts what is already on the engine, or not yet, into its hands."""
    return R


def column_names(R):
    """Names of the columns of a data frame, None where it is none or not all are strings."""
    names = list(getattr(R, "columns", [None]))
    return names if all(isinstance(name, str) for name in names) else None


def check_predictions(R):
    """R as floats; infinite values, and those whose squares would overflow, are refused."""
    R = check_array(
        filled(R), dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0
    )
    return refuse_large_scores(R)


def read(R, y, v):
    """Rows of a partition, checked."""
    return Rows(R=check_predictions(R), v=np.ones(len(R)) if v is None else v, y=y)


def outside(rows):
    """Number of the cells outside [0, 1], and one of them (NaN if there is none)."""
    cells = rows.R[(rows.R < 0) | (rows.R > 1)]
    return len(cells), cells[0] if len(cells) else np.nan


def far_outside(rows):
    """As `outside`, by more than rounding of tables."""
    cells = rows.R[np.abs(rows.R - 0.5) > 0.5 + SUM_TOLERANCE]
    return len(cells), cells[0] if len(cells) else np.nan


def sums_of_layout(rows, n_classes):
    """`layout_sums` of the rows."""
    return layout_sums(rows.R, n_classes)


def observed_cells(rows):
    """Number of predictions of each column in rows of positive weight."""
    R = rows.R if rows.v.all() else rows.R[rows.v > 0]
    counts = np.zeros(R.shape[1], dtype=int)
    for block in blocks(len(R)):
        observed = np.isfinite(R[block])
        counts += len(observed) if observed.all() else observed.sum(axis=0)
    return (counts,)


def give_confidence(rows, confidence, classes, columns):
    """Ask a callable confidence; a cell without confidence is as good as missing, in the centring too."""
    known = rows.y >= 0
    labels = (
        classes[rows.y] if known.all() else np.where(known, classes.astype(object)[rows.y], None)
    )
    given = check_confidence(confidence, rows.R, labels, used=np.ix_(rows.v > 0, columns))
    R = rows.R if given[np.isfinite(rows.R)].all() else np.where(given > 0, rows.R, np.nan)
    return replace(rows, R=R, given=given)


def keep(rows, columns):
    """The columns in use, and the rows of positive weight that have a prediction in them."""
    if len(columns) < rows.R.shape[1] or (np.diff(columns) != 1).any():
        given = None if rows.given is None else rows.given[:, columns]
        rows = replace(rows, R=rows.R[:, columns], given=given)
    observed = np.isfinite(rows.R)
    if observed.all():
        return rows.take(rows.v > 0)
    return replace(rows, observed=observed).take(observed.any(axis=1) & (rows.v > 0))
