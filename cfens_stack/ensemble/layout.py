"""What the columns of R mean: which model and which class each belongs to, equation (8) of the
design.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np

from cfens_stack.kernels.blocks import blocks

logger = logging.getLogger(__name__)

LAYOUTS = ("auto", "positive", "model-major", "class-major", "scores")
CLASS_ORDERS = ("model-major", "class-major")
SUM_TOLERANCE = (
    1e-3  # of probabilities and their sums over classes: float32, or a table with three decimals
)


@dataclass(frozen=True)
class Layout:
    """The columns in use and their meaning.

    Attributes
    ----------
    kind : {"positive", "model-major", "scores"}
        After `columns` has been applied: one column a model, K columns a model in class order, or
        columns without a class.
    columns : ndarray of int, shape (q,)
        Columns of R to use, in model-major order.
    n_outputs : int
        Columns a model: 1 or K.
    mirrors : ndarray of int, shape (q,), or None
        Columns of R that repeat what `columns` say, as 1 - r: those of the first of two classes.
    """

    kind: str
    columns: np.ndarray
    n_outputs: int
    mirrors: np.ndarray | None = None

    def keep(self, models):
        """The same layout for some of the models, a mask of shape (m,)."""
        mirrors = None if self.mirrors is None else self.mirrors[models]
        return replace(
            self, columns=self.columns[np.repeat(models, self.n_outputs)], mirrors=mirrors
        )

    def column_classes(self):
        """Class code that each column in use gives the probability of."""
        if self.n_outputs == 1:
            return np.ones(len(self.columns), dtype=int)
        return np.tile(np.arange(self.n_outputs), len(self.columns) // self.n_outputs)

    def targets(self, y):
        """1 where a row's class is the column's, else 0: ndarray of bool, shape (n, q)."""
        return y[:, None] == self.column_classes()


def find_layout(R, n_classes, layout):
    """The meaning of the columns of R, as stated or as read off the numbers.

    Parameters
    ----------
    R : ndarray of shape (n, m)
        NaN where missing.
    n_classes : int
    layout : {"auto", "positive", "model-major", "class-major", "scores"}
        "auto": values outside [0, 1] make scores, with a logged warning if only some columns have
        them; columns that sum to 1 within every model make K columns a model; else one column a
        model with two classes, and scores, with a logged warning, with more.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the layout stated does not fit the number of columns, or "auto" finds two readings.
    """
    sums = layout_sums(R, n_classes) if layout == "auto" else None
    return layout_from_sums(sums, R.shape[1], n_classes, layout)


def layout_sums(R, n_classes):
    """What a layout is read off; over partitions of the rows, contributions add up.

    Returns
    -------
    observed, outside : ndarray of int, shape (m,)
        Predictions of each column, and those outside [0, 1].
    complete, violated : ndarray of int, shape (2,)
        Predictions of all classes by one model, where columns are read model by model and class by
        class; and those that do not sum to 1.
    """
    m = R.shape[1]
    observed, outside = np.zeros(m, dtype=int), np.zeros(m, dtype=int)
    complete, violated = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
    orders = []
    if m % n_classes == 0:
        orders = [
            _one_column_a_class(np.arange(m), n_classes, order).columns for order in CLASS_ORDERS
        ]
    for rows in blocks(len(R)):
        R_b = R[rows]
        observed += np.isfinite(R_b).sum(axis=0)
        outside += (np.abs(R_b - 0.5) > 0.5 + SUM_TOLERANCE).sum(axis=0)
        for i, columns in enumerate(orders):
            sums = R_b[:, columns].reshape(len(R_b), m // n_classes, n_classes).sum(axis=2)
            complete[i] += np.isfinite(sums).sum()
            violated[i] += (np.abs(sums - 1.0) > SUM_TOLERANCE).sum()
    return observed, outside, complete, violated


def layout_from_sums(sums, m, K, layout):
    """`find_layout` from the `layout_sums` of all rows, which only "auto" looks at."""
    everything = np.arange(m)
    if layout == "scores":
        return Layout("scores", everything, 1)
    if layout == "positive":
        if K > 2:
            raise ValueError(
                "layout='positive' means one column a model, the probability of the second of "
                f"two classes, but y has {K} classes. Pass K columns a model and "
                "layout='model-major' or 'class-major'."
            )
        return Layout("positive", everything, 1)
    if layout in CLASS_ORDERS:
        if m % K:
            raise ValueError(
                f"layout={layout!r} needs {K} columns a model, one a class, but R has {m} "
                f"columns, which is no multiple of {K}."
            )
        return _one_column_a_class(everything, K, layout)
    return _read_layout(sums, K)


def _read_layout(sums, K):
    observed, outside, complete, violated = sums
    m = len(observed)
    everything = np.arange(m)
    if outside.any():
        _warn_of_mixed_columns(observed, outside)
        return Layout("scores", everything, 1)
    readings = []
    if m % K == 0:
        fits = (complete > 0) & (violated == 0)
        readings = [
            _one_column_a_class(everything, K, layout) for layout in np.array(CLASS_ORDERS)[fits]
        ]
        if len(readings) == 2 and m > K:
            raise ValueError(
                f"layout='auto' is ambiguous: the {m} columns sum to 1 for {K} classes both model "
                "by model and class by class. Pass layout='model-major' (the columns of one "
                "model stand together, as scikit-learn passes them) or layout='class-major'."
            )
    if K == 2:
        if not readings:
            return Layout("positive", everything, 1)
        pairs = readings[0].columns
        return Layout("positive", pairs[1::2], 1, mirrors=pairs[::2])
    if not readings:
        logger.warning(
            "layout='auto' found no groups of %d columns that sum to 1 among the %d columns of R "
            "and takes them for scores without a class. Pass layout='model-major' or "
            "'class-major' if they are probabilities of the classes, or layout='scores' to "
            "confirm.",
            K,
            m,
        )
        return Layout("scores", everything, 1)
    return readings[0]


def _warn_of_mixed_columns(observed, outside):
    within = (outside == 0) & (observed > 0)
    if within.any():
        logger.warning(
            "layout='auto' takes all %d columns of R for scores, because %d of them have values "
            "outside [0, 1], the first at index %d, while %d look like probabilities. If "
            "features stand among the predictions, as under "
            "StackingClassifier(passthrough=True), set passthrough=False or put a "
            "ColumnTransformer that selects the predictions before the ensemble with "
            "make_pipeline. Pass layout='scores' to confirm.",
            len(outside),
            (outside > 0).sum(),
            (outside > 0).argmax(),
            within.sum(),
        )


def _one_column_a_class(everything, K, layout):
    if layout == "class-major":
        everything = everything.reshape(K, -1).T.ravel()
    return Layout("model-major", everything, K)
