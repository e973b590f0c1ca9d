"""What the columns of R mean: which model and which class each belongs to, equation (8) of the design."""

import logging
from dataclasses import dataclass, replace

import numpy as np

logger = logging.getLogger(__name__)

LAYOUTS = ("auto", "positive", "model-major", "class-major", "scores")
SUM_TOLERANCE = 1e-3  # of probabilities and their sums over classes: float32, or a table with three decimals


@dataclass(frozen=True)
class Layout:
    """The columns in use and their meaning.

    Attributes
    ----------
    kind : {"positive", "model-major", "scores"}
        After `columns` has been applied: one column a model, K columns a model in class order, or columns without a
        class.
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
        return replace(self, columns=self.columns[np.repeat(models, self.n_outputs)], mirrors=mirrors)

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
        "auto": values outside [0, 1] make scores, with a logged warning if only some columns have them; columns that
        sum to 1 within every model make K columns a model; else one column a model with two classes, and scores, with
        a logged warning, with more.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the layout stated does not fit the number of columns, or "auto" finds two readings.
    """
    m, K = R.shape[1], n_classes
    everything = np.arange(m)
    if layout == "scores":
        return Layout("scores", everything, 1)
    if layout == "positive":
        if K > 2:
            raise ValueError(
                f"layout='positive' means one column a model, the probability of the second of two classes, but y "
                f"has {K} classes. Pass K columns a model and layout='model-major' or 'class-major'."
            )
        return Layout("positive", everything, 1)
    if layout in ("model-major", "class-major"):
        if m % K:
            raise ValueError(
                f"layout={layout!r} needs {K} columns a model, one a class, but R has {m} columns, which is no "
                f"multiple of {K}."
            )
        return _one_column_a_class(everything, K, layout)
    return _read_layout(R, K)


def _read_layout(R, K):
    m = R.shape[1]
    everything = np.arange(m)
    outside = np.any(np.abs(R - 0.5) > 0.5 + SUM_TOLERANCE, axis=0)
    if outside.any():
        _warn_of_mixed_columns(R, outside)
        return Layout("scores", everything, 1)
    readings = []
    if m % K == 0:
        by_model, by_class = (_one_column_a_class(everything, K, layout) for layout in ("model-major", "class-major"))
        readings = [reading for reading in (by_model, by_class) if _sums_to_one(R[:, reading.columns], K)]
        if len(readings) == 2 and m > K:
            raise ValueError(
                f"layout='auto' is ambiguous: the {m} columns sum to 1 for {K} classes both model by model and class "
                "by class. Pass layout='model-major' (the columns of one model stand together, as scikit-learn passes "
                "them) or layout='class-major'."
            )
    if K == 2:
        if not readings:
            return Layout("positive", everything, 1)
        pairs = readings[0].columns
        return Layout("positive", pairs[1::2], 1, mirrors=pairs[::2])
    if not readings:
        logger.warning(
            "layout='auto' found no groups of %d columns that sum to 1 among the %d columns of R and takes them for "
            "scores without a class. Pass layout='model-major' or 'class-major' if they are probabilities of the "
            "classes, or layout='scores' to confirm.",
            K,
            m,
        )
        return Layout("scores", everything, 1)
    return readings[0]


def _warn_of_mixed_columns(R, outside):
    within = ~outside & ~np.isnan(R).all(axis=0)
    if within.any():
        logger.warning(
            "layout='auto' takes all %d columns of R for scores, because %d of them have values outside [0, 1], the "
            "first at index %d, while %d look like probabilities. If features stand among the predictions, as under "
            "StackingClassifier(passthrough=True), set passthrough=False or put a ColumnTransformer that selects the "
            "predictions before the ensemble with make_pipeline. Pass layout='scores' to confirm.",
            R.shape[1],
            outside.sum(),
            outside.argmax(),
            within.sum(),
        )


def _one_column_a_class(everything, K, layout):
    if layout == "class-major":
        everything = everything.reshape(K, -1).T.ravel()
    return Layout("model-major", everything, K)


def _sums_to_one(R, K):
    """Whether every complete block of K columns sums to 1 in every row, and there is such a block."""
    sums = R.reshape(len(R), -1, K).sum(axis=2)
    return bool(np.isfinite(sums).any() and np.all(np.abs(sums[np.isfinite(sums)] - 1.0) <= SUM_TOLERANCE))
